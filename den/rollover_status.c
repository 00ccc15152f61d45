/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "base/text.h"
#include "den/acting.h"
#include "den/folder.h"
#include "den/keys.h"
#include "den/rollover.h"
#include "vault/vault.h"

#include <inttypes.h>
#include <unistd.h>

struct status {
    const struct rollover_status_order *order;
    struct store *store;
    struct rpc_trust *trust;
    struct change_state state;
    struct store_progress progress;
    uint64_t router_no, taken_no; /* manifests: of the router that den connects to; of den itself */
    struct buf router_pk, refused;
    bool is_running, are_sealed, are_in_token; /* den; its keys; the intermediate's */
    bool is_waiting;                           /* for the root's answer */
    struct root_order waiting;
    struct buf *to;
};

static void status_deinit(struct status *s)
{
    rpc_trust_free(s->trust);
    store_free(s->store);
    root_order_deinit(&s->waiting);
    buf_free(&s->router_pk);
    buf_free(&s->refused);
}

static const char *const stages[] = { "none", "staged", "switched" };

/* ---- what is read ---------------------------------------------------------------------------- */

static bool read_waiting(struct status *s, struct err *err)
{
    _free_ char *path = file_path(s->order->config->state, "root.request");
    _buf_ text = { 0 };

    if (!file_exists(path))
        return true;
    if (!file_read(path, ROOT_MAX_FILE, &text, err) ||
        !root_order_read(path, buf_view(&text), &s->waiting, err))
        return false;
    s->is_waiting = rpc_trust_manifest_no(s->waiting.trust) == rpc_trust_manifest_no(s->trust);
    return true;
}

/* What den wrote down last, and whether it runs. */
static bool read_den(struct status *s, struct err *err)
{
    const struct den_config *config = s->order->config;
    _cleanup_(rpc_trust_freep) struct rpc_trust *taken = NULL;
    enum store_found unused_found;
    struct err busy = { 0 };
    int fd = -1;

    if (!folder_load_trust(config, &taken, err) ||
        !keys_are_sealed(config->state, &s->are_sealed, err) ||
        !keys_are_in_token(config->state, &s->are_in_token, err) ||
        !store_blob_get(s->store, rollover_router_pk, &unused_found, &s->router_pk, err) ||
        !store_blob_get(s->store, rollover_refused, &unused_found, &s->refused, err))
        return false;
    s->taken_no = rpc_trust_manifest_no(taken);
    s->is_running = !folder_lock(config, &fd, &busy) && busy.code == ERR_BUSY;
    if (fd >= 0)
        close(fd);
    return true;
}

static bool read_all(struct status *s, struct err *err)
{
    const struct rollover_status_order *o = s->order;

    if (!config_check_secrets(o->config, err) || !folder_open_store(o->config, &s->store, err) ||
        !rollover_load_trust(o->config, s->store, &s->trust, err) ||
        !store_number_get(s->store, rollover_router, &s->router_no, err) ||
        !store_identity_progress(s->store, rpc_trust_manifest_no(s->trust),
                                 o->now - ROLLOVER_RECENT_MS, o->now, &s->progress, err))
        return false;
    s->state = change_state_of(s->trust);
    return read_den(s, err) && read_waiting(s, err);
}

/* ---- in words --------------------------------------------------------------------------------- */

static void put_ca(struct status *s, const char *kind, struct view hash, bool is_in_use)
{
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    char until[CLOCK_TEXT];
    struct err unused;
    _buf_ hex = { 0 };

    text_put_hex(&hex, hash);
    buf_printf(s->to, "%-12s %-8s", kind, is_in_use ? "in use" : "listed");
    if (vault_find_cert(s->order->config->state, kind, hash, &cert, NULL, &unused))
        buf_printf(s->to, " \"%s\", until %s", pki_cert_facts(cert)->subject,
                   clock_text(pki_cert_facts(cert)->not_after, until));
    buf_printf(s->to, " %s\n", buf_cstr(&hex));
}

static bool put_token(void *user, const char *path)
{
    struct status *s = user;
    _buf_ uri = { 0 };

    if (token_file_say(path, &uri))
        buf_printf(s->to, "%-12s in token %s: %s\n", "key", strrchr(path, '/') + 1, buf_cstr(&uri));
    return true;
}

static void put_keys(struct status *s)
{
    static const char *const names[] = { "", "den-login", "den-sign", "router" };
    const struct rpc_key_list *keys = &rpc_trust_manifest(s->trust)->keys;

    for (int role = RPC_KEY_DEN_LOGIN; role <= RPC_KEY_ROUTER; role++) {
        bool is_first = true;
        for (size_t i = 0; i < keys->n; i++) {
            _buf_ hex = { 0 };
            if (keys->item[i].role != (enum rpc_key_role)role)
                continue;
            text_put_hex(&hex, keys->item[i].pk);
            buf_printf(s->to, "%-12s %-8s %s\n", names[role],
                       is_first || role == RPC_KEY_ROUTER ? "in use" : "listed", buf_cstr(&hex));
            is_first = false;
        }
    }
}

static bool waits_for_restart(const struct status *s)
{
    return s->is_running && (s->are_sealed || s->are_in_token) &&
           s->taken_no < rpc_trust_manifest_no(s->trust);
}

static void put_den(struct status *s)
{
    uint64_t no = rpc_trust_manifest_no(s->trust);

    buf_printf(s->to, "den          %s manifest %" PRIu64 " of %" PRIu64 "%s\n",
               s->is_running ? "runs with" : "does not run; it took", s->taken_no, no,
               !waits_for_restart(s) ? ""
               : s->are_sealed       ? ": waits for a restart, as its keys are under a passphrase"
                               : ": waits for a restart, as the intermediate's key is in a token");
}

/* Of one that den does not connect to we know what it was given. */
static bool put_other_router(struct status *s, struct view pk, struct err *err)
{
    _free_ char *name = rollover_router_number(pk);
    _buf_ hex = { 0 };
    uint64_t has;

    if (!s->router_pk.len || view_eq(pk, buf_view(&s->router_pk)))
        return true;
    if (!store_number_get(s->store, name, &has, err))
        return false;
    text_put_hex(&hex, pk);
    buf_printf(s->to,
               "router       %.16s... has manifest %" PRIu64 " of %" PRIu64
               "; den does not connect to it\n",
               buf_cstr(&hex), has, rpc_trust_manifest_no(s->trust));
    return true;
}

static bool put_routers(struct status *s, struct err *err)
{
    const struct rpc_key_list *keys = &rpc_trust_manifest(s->trust)->keys;
    uint64_t no = rpc_trust_manifest_no(s->trust);

    buf_printf(s->to, "router       has manifest %" PRIu64 " of %" PRIu64, s->router_no, no);
    if (s->router_no < no && s->refused.len)
        buf_printf(s->to, ": it refused the rest: %.160s", buf_cstr(&s->refused));
    buf_put_text(s->to, "\n");
    for (size_t i = 0; i < keys->n; i++) {
        if (keys->item[i].role == RPC_KEY_ROUTER && !put_other_router(s, keys->item[i].pk, err))
            return false;
    }
    return true;
}

static void put_progress(struct status *s)
{
    const struct store_progress *p = &s->progress;
    uint64_t n_unheard = p->n - p->n_acknowledged, no = rpc_trust_manifest_no(s->trust);
    char since[CLOCK_TEXT];

    buf_printf(s->to, "machines     %" PRIu64 " of %" PRIu64 " have acknowledged manifest %" PRIu64,
               p->n_acknowledged, p->n, no);
    if (n_unheard)
        buf_printf(s->to,
                   "; %" PRIu64 " not, of which %" PRIu64
                   " were seen within a day; the longest silent one was seen last at %s",
                   n_unheard, p->n_seen, clock_text(p->longest_since, since));
    buf_put_text(s->to, "\n");
}

static void put_waiting(struct status *s)
{
    char at[CLOCK_TEXT];

    if (!s->is_waiting)
        return;
    buf_printf(s->to, "waiting      for the root's response to the request of %s: %s",
               clock_text(s->waiting.made_at, at), change_step_name(s->waiting.step));
    if (s->waiting.step < CHANGE_RENEW)
        buf_printf(s->to, " %s", change_what_name(s->waiting.what));
    buf_put_text(s->to, "\n");
}

static bool put_behind(void *user, const struct store_behind *b)
{
    struct status *s = user;
    char seen[CLOCK_TEXT];

    buf_printf(s->to, "  %s  manifest %" PRIu64 "  seen %s  %s\n", b->id, b->manifest_no,
               clock_text(b->seen_at, seen), b->host);
    return true;
}

static bool put_text(struct status *s, struct err *err)
{
    const struct rpc_manifest *m = rpc_trust_manifest(s->trust);
    char from[CLOCK_TEXT], to[CLOCK_TEXT];

    buf_printf(s->to, "manifest     %" PRIu64 ", signed %s, valid until %s\n", m->manifest_no,
               clock_text(m->issued_at + MANIFEST_BACKDATE_MS, from), clock_text(m->not_after, to));
    if (s->state.stage == CHANGE_NONE)
        buf_put_text(s->to, "rollover     none\n");
    else
        buf_printf(s->to, "rollover     %s, %s (it came with manifest %" PRIu64 ")\n",
                   change_what_name(s->state.what), stages[s->state.stage], s->state.staged_no);
    for (size_t i = 0; i < m->roots.n; i++)
        put_ca(s, "root", m->roots.item[i], i == 0);
    for (size_t i = 0; i < m->intermediates.n; i++)
        put_ca(s, "intermediate", m->intermediates.item[i], i == 0);
    put_keys(s);
    vault_each_file(s->order->config->state, "intermediate", "key", put_token, s);
    put_den(s);
    if (!put_routers(s, err))
        return false;
    put_progress(s);
    put_waiting(s);
    return !s->order->lists_unheard ||
           store_identity_each_behind(s->store, m->manifest_no, s->order->now, put_behind, s, err);
}

/* ---- for programs ------------------------------------------------------------------------------ */

struct json_list {
    struct buf *to;
    bool has_one;
};

static bool put_json_behind(void *user, const struct store_behind *b)
{
    struct json_list *l = user;
    char seen[CLOCK_TEXT];

    buf_printf(l->to, "%s{\"id\": \"%s\", \"manifest\": %" PRIu64 ", \"seen_at\": \"%s\"}",
               l->has_one ? ", " : "", b->id, b->manifest_no, clock_text(b->seen_at, seen));
    l->has_one = true;
    return true;
}

static bool put_json(struct status *s, struct err *err)
{
    const struct rpc_manifest *m = rpc_trust_manifest(s->trust);
    const struct store_progress *p = &s->progress;
    struct json_list list = { .to = s->to };
    char until[CLOCK_TEXT], since[CLOCK_TEXT];
    bool is_ok = true;

    buf_printf(s->to,
               "{\"manifest\": %" PRIu64 ", \"not_after\": \"%s\", \"stage\": \"%s\", "
               "\"what\": \"%s\", \"router\": %" PRIu64 ", \"machines\": %" PRIu64
               ", \"acknowledged\": %" PRIu64 ", \"unheard\": %" PRIu64
               ", \"unheard_seen_within_a_day\": %" PRIu64 ", \"longest_silent_since\": \"%s\", "
               "\"waits_for_root\": %s, \"den\": %" PRIu64
               ", \"den_runs\": %s, \"waits_for_restart\": %s",
               m->manifest_no, clock_text(m->not_after, until), stages[s->state.stage],
               s->state.stage == CHANGE_NONE ? "" : change_what_name(s->state.what), s->router_no,
               p->n, p->n_acknowledged, p->n - p->n_acknowledged, p->n_seen,
               p->longest_since ? clock_text(p->longest_since, since) : "",
               s->is_waiting ? "true" : "false", s->taken_no, s->is_running ? "true" : "false",
               waits_for_restart(s) ? "true" : "false");
    if (s->order->lists_unheard) {
        buf_put_text(s->to, ", \"who\": [");
        is_ok = store_identity_each_behind(s->store, m->manifest_no, s->order->now, put_json_behind,
                                           &list, err);
        buf_put_text(s->to, "]");
    }
    buf_put_text(s->to, "}\n");
    return is_ok;
}

bool rollover_status(const struct rollover_status_order *order, struct buf *ret_text,
                     struct err *err)
{
    struct owner den = { 0 };
    _acting_ struct acting as = { 0 };
    _cleanup_(status_deinit) struct status s = { .order = order, .to = ret_text };

    return owner_of_dir(order->config->state, &den, err) &&
           owner_check_guide(order->config_path, &den, err) && acting_begin(&as, &den, err) &&
           read_all(&s, err) && (order->is_json ? put_json(&s, err) : put_text(&s, err));
}
