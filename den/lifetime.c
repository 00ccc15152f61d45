/* SPDX-License-Identifier: Apache-2.0 */
#include "den/lifetime.h"

#include "base/log.h"

#include <stdio.h>

enum { LOOK_EVERY = 60000 /* ms */ };

unsigned lifetime_mark(unsigned percent)
{
    static const unsigned marks[] = { 100, 95, 80, 50 };

    for (size_t i = 0; i < N_ELEMENTS(marks); i++) {
        if (percent >= marks[i])
            return marks[i];
    }
    return 0;
}

static void tell(struct den_core *core, const char *kind, struct view der,
                 void (*each)(void *user, const struct lifetime *l), void *user)
{
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    struct lifetime l = { .kind = kind };
    const struct pki_facts *facts;
    struct err unused;
    uint64_t now = core_wall(core);

    if (!pki_cert_read(der, &cert, &unused))
        return;
    facts = pki_cert_facts(cert);
    snprintf(l.subject, sizeof(l.subject), "%s", facts->subject);
    l.not_before = facts->not_before;
    l.not_after = facts->not_after;
    if (now >= l.not_after)
        l.percent = 100;
    else if (now > l.not_before)
        l.percent = (unsigned)((now - l.not_before) * 100 / (l.not_after - l.not_before));
    each(user, &l);
}

void lifetime_each(struct den_core *core, void (*each)(void *user, const struct lifetime *l),
                   void *user)
{
    struct view der;

    for (size_t i = 0; rpc_trust_root(core->c.trust, i, &der); i++)
        tell(core, "root", der, each, user);
    for (size_t i = 0; i < core->c.n_intermediates; i++)
        tell(core, "intermediate", buf_view(&core->c.intermediates[i]), each, user);
    if (!core->c.n_intermediates)
        tell(core, "intermediate", pki_cert_der(signer_cert(core->c.signer)), each, user);
}

struct marks {
    unsigned highest;
};

static void look_at(void *user, const struct lifetime *l)
{
    unsigned mark = lifetime_mark(l->percent);
    struct marks *marks = user;
    char until[CLOCK_TEXT];

    if (mark <= marks->highest)
        return;
    log_event(mark >= 95 ? LOG_ERROR : LOG_WARN, "authority.ageing",
              "kind=%s subject=%s percent=%u until=%s remedy=%s", l->kind,
              log_quote_text(l->subject), l->percent, clock_text(l->not_after, until),
              log_quote_text("warren-den rollover stage"));
}

static void keep_highest(void *user, const struct lifetime *l)
{
    struct marks *marks = user;

    if (lifetime_mark(l->percent) > marks->highest)
        marks->highest = lifetime_mark(l->percent);
}

void lifetime_tick(struct den_core *core)
{
    struct marks marks = { core->age_mark };

    if (core_mono(core) < core->age_at)
        return;
    core->age_at = core_mono(core) + LOOK_EVERY;
    lifetime_each(core, look_at, &marks);
    marks.highest = 0; /* after a rollover the marks begin anew */
    lifetime_each(core, keep_highest, &marks);
    core->age_mark = marks.highest;
}
