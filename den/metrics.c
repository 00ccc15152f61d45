/* SPDX-License-Identifier: Apache-2.0 */
#include "den/metrics.h"

#include "den/admin.h"
#include "den/core_in.h"
#include "den/lifetime.h"

#include <inttypes.h>

#define PREFIX "warren_den_"

static void put_head(struct buf *to, const char *name, const char *type, const char *help)
{
    buf_printf(to, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help, name, type);
}

static void put_one(struct buf *to, const char *name, const char *type, uint64_t value,
                    const char *help)
{
    put_head(to, name, type, help);
    buf_printf(to, PREFIX "%s %" PRIu64 "\n", name, value);
}

static void put_label(struct buf *to, struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c == '"' || c == '\\')
            buf_printf(to, "\\%c", c);
        else
            buf_put_u8(to, c >= 0x20 && c < 0x7f ? c : '?');
    }
}

struct ages {
    struct buf *to;
    bool is_end;
};

static void put_age(void *user, const struct lifetime *l)
{
    struct ages *ages = user;

    buf_printf(ages->to, PREFIX "%s{kind=\"%s\",subject=\"",
               ages->is_end ? "authority_not_after_seconds" : "authority_life_over_percent",
               l->kind);
    put_label(ages->to, view_text(l->subject));
    if (ages->is_end)
        buf_printf(ages->to, "\"} %" PRIu64 "\n", l->not_after / 1000);
    else
        buf_printf(ages->to, "\"} %u\n", l->percent);
}

static void put_authorities(struct den_core *core, struct buf *to)
{
    struct ages ages = { to, true };

    put_head(to, "authority_not_after_seconds", "gauge",
             "When the certificate of a root or intermediate ends, since 1970.");
    lifetime_each(core, put_age, &ages);
    ages.is_end = false;
    put_head(to, "authority_life_over_percent", "gauge",
             "How much of its life is over; said in the log at 50, 80 and 95.");
    lifetime_each(core, put_age, &ages);
}

static void put_counts(struct den_core *core, struct buf *to)
{
    struct status_counts n;
    struct err err;

    if (!status_count(core, &n, &err))
        return;
    put_one(to, "peers", "gauge", n.n_peers, "IDs that live.");
    put_one(to, "waiting", "gauge", n.n_waiting, "Machines that wait for approval.");
    put_one(to, "sessions_live", "gauge", n.n_sessions, "Sessions that were accepted and go on.");
    put_one(to, "sessions_ringing", "gauge", n.n_ringing, "Sessions that nobody answered yet.");
    put_one(to, "tokens_usable", "gauge", n.n_tokens, "Enrolment tokens that can be used.");
    put_one(to, "audit_number", "counter", n.audit_no, "The number of the newest audit entry.");
    put_one(to, "backup_seconds", "gauge", n.backup_at / 1000,
            "When the newest backup was made, since 1970; 0: never.");
}

/* What the edge knows, by name. */
static void put_facts(struct den_core *core, struct buf *to)
{
    static const struct {
        const char *key, *name, *help;
    } rows[] = {
        { "connected", "peers_connected", "Peers that are connected to the router." },
        { "disk_free_bytes", "disk_free_bytes", "Room on the disk of den's folder." },
        { "disk_bytes", "disk_bytes", "Size of that disk." },
    };
    struct admin_object o = { 0 };
    _buf_ map = { 0 };
    uint64_t n;

    if (!core->c.place || !core->c.place->put_facts)
        return;
    core->c.place->put_facts(core->c.place->user, &o);
    admin_end(&o, &map);
    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        if (rpc_map_u64(buf_view(&map), rows[i].key, &n))
            put_one(to, rows[i].name, "gauge", n, rows[i].help);
    }
    put_one(to, "signer_up", "gauge", rpc_map_bool(buf_view(&map), "signer_is_there"),
            "Whether the signer is there.");
}

static void put_all(struct den_core *core, struct buf *to)
{
    put_one(to, "certificates_issued_total", "counter", core->n_issued,
            "Certificates that were handed out since the start.");
    put_one(to, "sessions_granted_total", "counter", core->n_granted,
            "Sessions that policy allowed since the start.");
    put_one(to, "sessions_refused_total", "counter", core->n_not_granted,
            "Dials that policy forbade, or to an ID that is unknown or away, since the start.");
    put_one(to, "refused_total", "counter", core->n_refused, "Requests refused since the start.");
    put_one(to, "refused_by_router_total", "counter", core->n_denied,
            "Requests that the router refused, as it told since the start.");
    put_one(to, "refusals_unaudited", "gauge", core->n_unaudited,
            "Refusals that the next audited one will count: too many came at once.");
    put_one(to, "administrative_total", "counter", core->n_admin_acts,
            "Administrative acts since the start, tried or done.");
    put_one(to, "requests_queued", "gauge", core->n_asked,
            "Requests for certificates that are being looked at or wait to be signed.");
    put_one(to, "dials_queued", "gauge", core->n_opens, "Dials on their way.");
    put_one(to, "policy_number", "gauge", core->policy_no, "The number of the policy in force.");
    put_one(to, "revocations", "gauge", core->rev_no, "The number of the newest revocation.");
    put_one(to, "router_up", "gauge", core->is_up, "Whether the router is there.");
    put_one(to, "manifest_number", "gauge", rpc_trust_manifest_no(core->c.trust),
            "The number of the newest manifest.");
    put_authorities(core, to);
    put_counts(core, to);
    put_facts(core, to);
}

void metrics_serve(struct den_core *core, struct view path, struct web_page *page)
{
    page->type = "text/plain; charset=utf-8";
    page->status = 200;
    if (view_eq_text(path, "/metrics")) {
        page->type = "text/plain; version=0.0.4; charset=utf-8";
        put_all(core, &page->body);
    } else if (view_eq_text(path, "/healthz")) { /* the loop turns: here is its answer */
        buf_put_text(&page->body, "ok\n");
    } else if (view_eq_text(path, "/readyz")) {
        den_core_health(core, &page->body);
        page->status = page->body.len ? 503 : 200;
        if (!page->body.len)
            buf_put_text(&page->body, "ok\n");
    } else {
        page->status = 404;
        buf_put_text(&page->body, "there are /metrics, /healthz and /readyz\n");
    }
}
