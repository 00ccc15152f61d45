/* SPDX-License-Identifier: Apache-2.0 */
/* warren-den status, and session: what a den at work is asked, over the socket in its folder. */
#include "base/clock.h"
#include "base/text.h"
#include "den/admin_put.h"
#include "den/args.h"
#include "den/local.h"
#include "den/store.h"
#include "den/verb.h"
#include "rpc/rpc.h"

#include <inttypes.h>
#include <stdio.h>

enum { MAX_JSON = 8 * 1024 * 1024 };

/* Asks the den whose configuration that is. */
static bool ask(const char *path, const char *procedure, struct view body, struct buf *ret_value)
{
    _cleanup_(config_deinit) struct den_config config = { 0 };
    struct err err;

    if (!verb_load_config(path, &config))
        return false;
    if (local_ask(config.state, procedure, body, ret_value, &err))
        return true;
    verb_fail(&err);
    return false;
}

static bool print_json(struct view value)
{
    _buf_ text = { 0 };
    struct err err;

    if (!rpc_json_from_msgpack(value, MAX_JSON, &text, &err)) {
        verb_fail(&err);
        return false;
    }
    printf("%s\n", buf_cstr(&text));
    return true;
}

/* ---- status --------------------------------------------------------------------------------------- */

/* For VIEW_FMT, which takes it twice. */
static struct view text_of(struct view map, const char *key)
{
    struct view text;

    return rpc_map_text(map, key, &text) ? text : VIEW_LIT("-");
}

static uint64_t number_of(struct view map, const char *key)
{
    uint64_t n = 0;

    rpc_map_u64(map, key, &n);
    return n;
}

static struct view map_of(struct view map, const char *key)
{
    struct view value;

    return rpc_map_get(map, key, &value) ? value : VIEW_LIT("\x80");
}

static void print_authorities(struct view list)
{
    struct rpc_fields all;

    rpc_fields_open(&all, list);
    while (rpc_fields_more(&all)) {
        struct view one = rpc_fields_map(&all, "authority");
        printf("%-13s \"%.*s\", until %.*s, %" PRIu64 " %% of its life over\n",
               view_eq_text(text_of(one, "kind"), "root") ? "root" : "intermediate",
               VIEW_FMT(text_of(one, "subject")), VIEW_FMT(text_of(one, "not_after")),
               number_of(one, "percent"));
    }
}

static void print_warnings(struct view list)
{
    struct rpc_fields all;

    rpc_fields_open(&all, list);
    if (!rpc_fields_more(&all))
        printf("warnings      none\n");
    while (rpc_fields_more(&all)) {
        struct view text = rpc_fields_text(&all, "warning", 1024);
        printf("WARNING       %.*s\n", VIEW_FMT(text));
    }
}

static void print_signer(struct view s)
{
    struct view cause = VIEW_LIT("");
    bool has_cause = rpc_map_text(s, "signer_cause", &cause);

    printf("signer        %.*s: %s%s%.*s\n", VIEW_FMT(text_of(s, "signer")),
           rpc_map_bool(s, "signer_is_there") ? "there" : "away", has_cause ? ": " : "",
           VIEW_FMT(cause));
}

static void print_status(struct view s)
{
    struct view peers = map_of(s, "peers"), sessions = map_of(s, "sessions"),
                audit = map_of(s, "audit"), manifest = map_of(s, "manifest"),
                since = map_of(s, "since_start");

    printf("network       %.*s, at %.*s\n", VIEW_FMT(text_of(s, "network")),
           VIEW_FMT(text_of(s, "at")));
    printf("router        %.*s: %.*s\n", VIEW_FMT(text_of(s, "router")),
           VIEW_FMT(text_of(s, "state")));
    print_signer(s);
    printf("manifest      %" PRIu64 ", until %.*s\n", number_of(manifest, "number"),
           VIEW_FMT(text_of(manifest, "not_after")));
    print_authorities(map_of(s, "authorities"));
    printf("peers         %" PRIu64 " known, %" PRIu64 " connected, %" PRIu64
           " wait for approval\n",
           number_of(peers, "known"), number_of(s, "connected"), number_of(peers, "waiting"));
    printf("sessions      %" PRIu64 " live, %" PRIu64 " ringing\n", number_of(sessions, "live"),
           number_of(sessions, "ringing"));
    printf("tokens        %" PRIu64 " usable\n", number_of(s, "tokens"));
    printf("policy        number %" PRIu64 ", %" PRIu64 " rules\n",
           number_of(map_of(s, "policy"), "number"), number_of(map_of(s, "policy"), "rules"));
    printf("audit         %" PRIu64 " entries, head %.16s\n", number_of(audit, "number"),
           (const char *)text_of(audit, "head").data);
    printf("since start   %" PRIu64 " certificates, %" PRIu64 " sessions, %" PRIu64
           " refusals, %" PRIu64 " administrative acts\n",
           number_of(since, "certificates"), number_of(since, "sessions"),
           number_of(since, "refused"), number_of(since, "administrative"));
    printf("backup        %.*s\n", VIEW_FMT(text_of(s, "backup_at")));
    printf("disk          %" PRIu64 " MiB free of %" PRIu64 " MiB\n",
           number_of(s, "disk_free_bytes") >> 20, number_of(s, "disk_bytes") >> 20);
    print_warnings(map_of(s, "warnings"));
}

int verb_status(int argc, char **argv)
{
    const char *config = NULL;
    bool is_json = false;
    const struct args_option options[] = { { "config", &config, true },
                                           { "json", NULL, false, &is_json } };
    _buf_ value = { 0 };
    struct err err;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), NULL, NULL, 0, &err))
        return verb_misuse(&err);
    if (!ask(config, "den.status", VIEW(NULL, 0), &value))
        return VERB_FAILED;
    if (is_json)
        return print_json(buf_view(&value)) ? VERB_DONE : VERB_FAILED;
    print_status(buf_view(&value));
    return VERB_DONE;
}

/* ---- any act -------------------------------------------------------------------------------------- */

/* A line of the socket: for scripts, which read JSON. */
int verb_ask(int argc, char **argv)
{
    static const char *const alone_names[] = { "PROCEDURE", "BODY" };
    const char *config = NULL, *alone[2] = { 0 };
    bool is_json = false; /* it always is; then errors are, too */
    const struct args_option options[] = { { "config", &config, true },
                                           { "json", NULL, false, &is_json } };
    _buf_wipe_ value = { 0 };
    _buf_ body = { 0 };
    struct err err;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), alone_names, alone, 2, &err) ||
        !rpc_json_to_msgpack(view_text(alone[1]), MAX_JSON, &body, &err))
        return verb_misuse(&err);
    if (!ask(config, alone[0], buf_view(&body), &value))
        return VERB_FAILED;
    return print_json(buf_view(&value)) ? VERB_DONE : VERB_FAILED;
}

/* ---- session --------------------------------------------------------------------------------------- */

struct listing {
    bool is_json, only_open;
    uint64_t n;
};

static bool print_session(void *user, _unused_ uint64_t no, const struct store_session *x)
{
    struct listing *l = user;
    bool is_open = store_is_open_state(x->state);
    char from[CLOCK_TEXT], to[CLOCK_TEXT];
    _buf_ map = { 0 }, text = { 0 }, sid = { 0 };

    if (l->only_open && !is_open)
        return true;
    l->n++;
    if (l->is_json) {
        admin_put_session(x, &map);
        verb_put_json(buf_view(&map), l->n == 1, &text);
        return printf("%s%s", l->n == 1 ? "[" : "", buf_cstr(&text)) >= 0;
    }
    if (l->n == 1)
        printf("%-32s  %-9s  %-9s  %-8s  %-20s  %-20s  %s\n", "SESSION", "FROM", "TO", "STATE",
               "BEGAN", "ENDED", "CAPABILITIES, REASON");
    text_put_hex(&sid, VIEW_ARR(x->sid));
    printf("%s  %-9s  %-9s  %-8s  %s  %-20s  %s%s%s\n", buf_cstr(&sid), x->a_id, x->b_id, x->state,
           clock_text(x->opened_at, from), x->closed_at ? clock_text(x->closed_at, to) : "-",
           store_session_caps(x), *x->reason ? "  " : "", x->reason);
    if (*x->caps_accepted && strcmp(x->caps_accepted, x->caps) != 0)
        printf("    %s was asked for\n", x->caps);
    if (x->ends_at && is_open)
        printf("    until %s\n", clock_text(x->ends_at, to));
    if (*x->path)
        printf("    %s; %" PRIu64 " bytes by %s, %" PRIu64 " by %s\n", x->path, x->a_sent, x->a_id,
               x->b_sent, x->b_id);
    return true;
}

int verb_session_list(int argc, char **argv)
{
    struct listing l = { 0 };
    const char *config = NULL;
    const struct args_option options[] = { { "config", &config, true },
                                           { "json", NULL, false, &l.is_json },
                                           { "open", NULL, false, &l.only_open } };
    _cleanup_(store_freep) struct store *store = NULL;
    struct err err;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), NULL, NULL, 0, &err))
        return verb_misuse(&err);
    if (!verb_read_store(config, &store))
        return VERB_FAILED;
    if (!store_session_before(store, INT64_MAX, print_session, &l, &err))
        return verb_fail(&err);
    if (l.is_json)
        printf("%s]\n", l.n ? "" : "[");
    else if (!l.n)
        printf("there is no session\n");
    return VERB_DONE;
}

int verb_session_close(int argc, char **argv)
{
    static const char *const alone_names[] = { "SID" };
    const char *config = NULL, *sid = NULL, *reason = "closed by the operator";
    const struct args_option options[] = { { "config", &config, true },
                                           { "reason", &reason, false } };
    _buf_ value = { 0 }, body = { 0 };
    struct err err;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), alone_names, &sid, 1, &err))
        return verb_misuse(&err);
    if (!text_is_utf8(view_text(sid)) || !text_is_utf8(view_text(reason))) {
        err_set(&err, ERR_INVALID_ARGUMENT, "expected UTF-8");
        return verb_misuse(&err);
    }
    rpc_put_map(&body, 2);
    rpc_put_str(&body, "sid");
    rpc_put_str(&body, sid);
    rpc_put_str(&body, "reason");
    rpc_put_str(&body, reason);
    if (!ask(config, "den.session.end", buf_view(&body), &value))
        return VERB_FAILED;
    printf("%s is over at both its ends\n", sid);
    return VERB_DONE;
}
