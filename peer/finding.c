/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void finding_begin(struct finding *f, enum peer_verdict verdict, const char *subject,
                   const char *fmt, ...)
{
    va_list args;

    *f = (struct finding){ .it = { .verdict = verdict } };
    snprintf(f->it.subject, sizeof(f->it.subject), "%s", subject);
    va_start(args, fmt);
    vsnprintf(f->it.text, sizeof(f->it.text), fmt, args);
    va_end(args);
}

void finding_remedy(struct finding *f, const char *remedy)
{
    snprintf(f->it.remedy, sizeof(f->it.remedy), "%s", remedy);
}

void finding_fact(struct finding *f, const char *name, const char *fmt, ...)
{
    struct peer_finding_fact *fact;
    va_list args;

    if (f->it.n_facts == PEER_MAX_FINDING_FACTS)
        return;
    fact = &f->it.facts[f->it.n_facts++];
    snprintf(fact->name, sizeof(fact->name), "%s", name);
    va_start(args, fmt);
    vsnprintf(fact->value, sizeof(fact->value), fmt, args);
    va_end(args);
}

void finding_ms(struct finding *f, const char *name, uint64_t us)
{
    finding_fact(f, name, "%llu.%llu", (unsigned long long)(us / 1000),
                 (unsigned long long)(us % 1000 / 100));
}

void finding_tell(const struct finding *f, struct hub *hub, struct peer_link *link)
{
    struct hub_event *event = hub_event_new(PEER_EVENT_FINDING);

    event->finding = mem_new(struct peer_finding);
    *event->finding = f->it;
    event->event.link = link ? peer_link_ref(link) : NULL;
    hub_put(hub, event);
}
