/* SPDX-License-Identifier: Apache-2.0 */
/* A policy as text again, the same for the same meaning. */
#include "den/policy_in.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>

static int compare_views(const void *a, const void *b)
{
    const struct view *one = a, *two = b;
    int order = memcmp(one->data, two->data, one->len < two->len ? one->len : two->len);

    return order ? order : (one->len > two->len) - (one->len < two->len);
}

/* `items` in order, each once. */
static void put_list(struct buf *to, struct view *items, size_t n)
{
    size_t n_put = 0;

    if (n)
        qsort(items, n, sizeof(*items), compare_views);
    buf_put_text(to, "[");
    for (size_t i = 0; i < n; i++) {
        if (i && view_eq(items[i], items[i - 1]))
            continue;
        buf_put_text(to, n_put++ ? ", " : "");
        buf_put(to, items[i]);
    }
    buf_put_text(to, "]");
}

static void put_caps(struct buf *to, const struct cap_list *caps)
{
    struct view items[POLICY_MAX_CAN];

    if (caps->is_any) {
        buf_put_text(to, "any");
        return;
    }
    if (caps->n)
        memcpy(items, caps->item, caps->n * sizeof(*items));
    put_list(to, items, caps->n);
}

void policy_put_who(const struct who *who, struct buf *to)
{
    static const char *const prefixes[] = {
        [WHO_ANY] = "any", [WHO_ID] = "", [WHO_GROUP] = "group:", [WHO_TAG] = "tag:"
    };

    buf_put_text(to, prefixes[who->kind]);
    buf_put(to, who->name);
}

static void put_parties(struct buf *to, const struct party_list *list)
{
    struct buf texts[POLICY_MAX_PARTIES] = { 0 };
    struct view items[POLICY_MAX_PARTIES];

    for (size_t i = 0; i < list->n; i++) {
        policy_put_who(&list->item[i], &texts[i]);
        items[i] = buf_view(&texts[i]);
    }
    put_list(to, items, list->n);
    for (size_t i = 0; i < list->n; i++)
        buf_free(&texts[i]);
}

static void put_date(struct buf *to, const char *key, int64_t day)
{
    char text[CLOCK_TEXT];

    if (day != INT64_MIN && day != INT64_MAX)
        buf_printf(to, ", %s: %.10s", key, clock_text((uint64_t)day * DAY_MS, text));
}

static void put_when(struct buf *to, const struct policy *policy, const struct when *when)
{
    static const char days[7][4] = { "mon", "tue", "wed", "thu", "fri", "sat", "sun" };
    const struct zone *zone = policy->zones;
    const char *before = "";

    while (zone && zone->zone != when->zone)
        zone = zone->next;
    buf_put_text(to, "{days: [");
    for (unsigned day = 0; day < 7; day++) {
        if (when->days >> day & 1) {
            buf_printf(to, "%s%s", before, days[day]);
            before = ", ";
        }
    }
    buf_printf(to, "], hours: %02u:%02u-%02u:%02u", when->from / 60, when->from % 60,
               when->until / 60, when->until % 60);
    if (zone)
        buf_printf(to, ", zone: %.*s", VIEW_FMT(zone->name));
    put_date(to, "first", when->first);
    put_date(to, "last", when->last);
    buf_put_text(to, "}");
}

void policy_put_rule(const struct policy *policy, size_t i, struct buf *to)
{
    const struct rule *rule = &policy->rules[i];

    buf_put_text(to, "{from: ");
    put_parties(to, &rule->from);
    buf_put_text(to, ", to: ");
    put_parties(to, &rule->to);
    buf_put_text(to, ", can: ");
    put_caps(to, &rule->can);
    if (rule->back.n) {
        buf_put_text(to, ", back: ");
        put_caps(to, &rule->back);
    }
    buf_printf(to, ", consent: %s", rule->denies ? "deny" : rule->asks ? "ask" : "none");
    if (rule->longest)
        buf_printf(to, ", longest: %" PRIu64 "s", rule->longest / 1000);
    if (rule->offline)
        buf_printf(to, ", offline: %" PRIu64 "s", rule->offline / 1000);
    for (size_t w = 0; w < rule->n_when; w++) {
        buf_put_text(to, w ? ", " : ", when: [");
        put_when(to, policy, &rule->when[w]);
    }
    buf_put_text(to, rule->n_when ? "]}" : "}");
}

unsigned policy_rule_line(const struct policy *policy, size_t i)
{
    return policy->rules[i].line;
}

static int compare_machines(const void *a, const void *b)
{
    const struct machine *const *one = a, *const *two = b;

    return strcmp((*one)->id, (*two)->id);
}

static void put_what_it_is(const struct machine *machine, struct buf *to)
{
    put_parties(to, &machine->is);
    buf_put_text(to, machine->is_unattended ? ", unattended" : "");
}

static void put_machine(const struct machine *machine, struct buf *to)
{
    if (!machine->is.n && !machine->is_unattended)
        return;
    buf_printf(to, "%s: ", machine->id);
    put_what_it_is(machine, to);
    buf_put_text(to, "\n");
}

void policy_put_machine(const struct policy *policy, const char *id, struct buf *to)
{
    const struct machine *machine = map_get(policy->machines, view_text(id));

    if (machine && (machine->is.n || machine->is_unattended))
        put_what_it_is(machine, to);
}

void policy_put_machines(const struct policy *policy, struct buf *to)
{
    size_t n = map_count(policy->machines), i = 0;
    const struct machine **all = mem_zero(n + 1, sizeof(const struct machine *));

    for (const struct machine *m = policy->first_machine; m; m = m->next)
        all[i++] = m;
    qsort(all, n, sizeof(const struct machine *), compare_machines);
    for (i = 0; i < n; i++)
        put_machine(all[i], to);
    free(all);
}
