/* SPDX-License-Identifier: Apache-2.0 */
/* This machine's names: claimed, released, transferred, each with the number that den last gave the name. */
#include "peer/errand.h"

#include <stdio.h>

enum { CALL_MS = 15000, MAX_NAMES = 1024 };

struct ask {
    struct core *core;
    enum name_verb verb;
    char *name, *to;
};

static void ask_free(struct ask *ask)
{
    free(ask->name);
    free(ask->to);
    free(ask);
}

bool name_check(const struct core *core, struct view bytes, struct view sig, const char *name,
                struct rpc_name *ret_name, struct err *err)
{
    uint64_t now = core_now(core);

    if (!rpc_trust_open(core->trust, RPC_W_NAME, bytes, sig, now, ret_name, err))
        return false;
    if (!view_eq(ret_name->netid, rpc_trust_netid(core->trust)) ||
        !view_eq_text(ret_name->name, name))
        return err_set(err, ERR_BAD_STATEMENT, "name: of another name or network");
    if (ret_name->not_after <= now)
        return err_set(err, ERR_EXPIRED, "name: the statement is over");
    return true;
}

/* ---- the outcome --------------------------------------------------------------------------------------- */

static void finish(struct ask *ask, const struct err *err, struct peer_name *names_taken, size_t n)
{
    struct hub_event *event = hub_event_new(PEER_EVENT_NAMES);

    event->names = names_taken;
    event->n_names = n;
    hub_error(err, &event->event.error);
    hub_put(ask->core->hub, event);
    ask_free(ask);
}

static bool read_row(struct view row, struct peer_name *to)
{
    struct view name, assigned;

    if (!rpc_map_text(row, "name", &name) || name.len >= sizeof(to->name) ||
        !rpc_map_u64(row, "name_no", &to->name_no) ||
        !rpc_map_u64(row, "released_at", &to->released_at) ||
        !rpc_map_get(row, "assigned", &assigned) || !rpc_value_bool(assigned, &to->is_assigned) ||
        !rpc_name_is_valid(name))
        return false;
    snprintf(to->name, sizeof(to->name), "%.*s", VIEW_FMT(name));
    return true;
}

static bool read_list(const struct ask *ask, struct rpc_payload payload, struct peer_name **ret,
                      size_t *ret_n, struct err *err)
{
    struct peer_name *names = mem_array(struct peer_name, MAX_NAMES);
    struct rpc_fields f, list;
    size_t n = 0;

    rpc_fields_open(&f, rpc_payload_args(payload));
    rpc_fields_open(&list, rpc_fields_array(&f, "names"));
    while (rpc_fields_more(&list) && n < MAX_NAMES) {
        snprintf(names[n].id, sizeof(names[n].id), "%.15s", ask->core->id);
        if (!read_row(rpc_fields_map(&list, "name"), &names[n++]))
            rpc_fields_fail(&list, "name", "not a name's row");
    }
    if (!rpc_fields_end(&f, err) || !rpc_fields_end(&list, err)) {
        free(names);
        return err_wrap(err, "den's answer");
    }
    *ret = names;
    *ret_n = n;
    return true;
}

static struct peer_name *describe(const struct rpc_name *n)
{
    struct peer_name *to = mem_new(struct peer_name);

    snprintf(to->name, sizeof(to->name), "%.*s", VIEW_FMT(n->name));
    snprintf(to->id, sizeof(to->id), "%.*s", VIEW_FMT(n->id));
    to->name_no = n->name_no;
    return to;
}

static void on_changed(void *user, const struct rpc_outcome *outcome)
{
    struct ask *ask = user;
    const char *whose = ask->verb == NAME_TRANSFER ? ask->to : ask->core->id;
    struct err err = outcome->err;
    struct rpc_fields f;
    struct rpc_name n;

    if (outcome->what == RPC_PROGRESS)
        return;
    if (outcome->what == RPC_FAILED || ask->verb == NAME_RELEASE) {
        finish(ask, &err, NULL, 0);
        return;
    }
    rpc_fields_open(&f, rpc_payload_args(outcome->payload));
    struct view bytes = rpc_fields_bin(&f, "name", RPC_MAX_STATEMENT);
    struct view sig = rpc_fields_fixed(&f, "signature", SIG_SIZE);
    if (!rpc_fields_end(&f, &err) || !name_check(ask->core, bytes, sig, ask->name, &n, &err))
        finish(ask, &err, NULL, 0);
    else if (!view_eq_text(n.id, whose)) {
        err_set(&err, ERR_BAD_STATEMENT, "name: den gave it to another ID");
        finish(ask, &err, NULL, 0);
    } else {
        finish(ask, &err, describe(&n), 1);
    }
}

/* ---- asking -------------------------------------------------------------------------------------------- */

static void change(struct ask *ask, uint64_t name_no)
{
    static const char *const procedures[] = {
        [NAME_CLAIM] = "den.name.claim",
        [NAME_RELEASE] = "den.name.release",
        [NAME_TRANSFER] = "den.name.transfer",
    };
    const char *procedure = procedures[ask->verb];
    _buf_ args = { 0 }, body = { 0 };
    struct err err = { 0 };

    rpc_put_map(&body, ask->to ? 3 : 2);
    rpc_put_str(&body, "name");
    rpc_put_text(&body, view_text(ask->name));
    rpc_put_str(&body, "name_no");
    rpc_put_u64(&body, name_no);
    if (ask->to) {
        rpc_put_str(&body, "to");
        rpc_put_text(&body, view_text(ask->to));
    }
    if (!identity_put_request(ask->core, procedure, buf_view(&body), &args, &err)) {
        finish(ask, &err, NULL, 0);
        return;
    }
    rpc_client_call(ask->core->client, clock_mono_ms(), procedure, buf_view(&args), CALL_MS, false,
                    on_changed, ask);
    core_flush_soon(ask->core);
}

static void on_listed(void *user, const struct rpc_outcome *outcome)
{
    struct ask *ask = user;
    struct err err = outcome->err;
    struct peer_name *names = NULL;
    uint64_t name_no = 0;
    size_t n = 0;

    if (outcome->what == RPC_PROGRESS)
        return;
    if (outcome->what == RPC_FAILED || !read_list(ask, outcome->payload, &names, &n, &err)) {
        finish(ask, &err, NULL, 0);
        return;
    }
    if (ask->verb == NAME_LIST) {
        finish(ask, &err, names, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (strcmp(names[i].name, ask->name) == 0 && !names[i].released_at)
            name_no = names[i].name_no;
    }
    free(names);
    if (name_no) {
        change(ask, name_no);
        return;
    }
    err_set(&err, ERR_NOT_FOUND, "%s is not a name of this machine", ask->name);
    finish(ask, &err, NULL, 0);
}

void names_start(struct core *core, enum name_verb verb, const char *name, const char *to)
{
    struct ask *ask = mem_new(struct ask);
    struct err err = { 0 };
    _buf_ args = { 0 };

    *ask = (struct ask){ core, verb, name ? mem_text(name) : NULL, to ? mem_text(to) : NULL };
    if (!core->is_up) {
        err_set(&err, ERR_NETWORK_FAILURE, "not connected to the router");
        finish(ask, &err, NULL, 0);
        return;
    }
    if (verb == NAME_CLAIM) {
        change(ask, 0);
        return;
    }
    rpc_put_array(&args, 0);
    rpc_client_call(core->client, clock_mono_ms(), "den.name.list", buf_view(&args), CALL_MS, false,
                    on_listed, ask);
    core_flush_soon(core);
}

/* ---- the application's side ---------------------------------------------------------------------------- */

static void run(struct errand *errand)
{
    names_start(errand->peer->core, (enum name_verb)errand->code, errand->text, errand->argument);
}

static bool check_name(const char *name, struct err *err)
{
    const char *fault = name ? rpc_name_fault(view_text(name)) : NULL;

    return (name && rpc_name_is_valid(view_text(name))) ||
           err_set(err, ERR_INVALID_ARGUMENT, "%s", fault ? fault : "not a name");
}

static bool check_asked(const struct peer *peer, enum name_verb verb, const char *name,
                        const char *to, char ret_id[TEXT_ID], struct err *err)
{
    struct peer_identity own;

    if (!hub_is_ours(&peer->hub, err))
        return false;
    if (!peer_identity(peer, &own))
        return err_set(err, ERR_NOT_JOINED, "this machine has no ID yet: wait for JOINED");
    if (verb != NAME_LIST && !check_name(name, err))
        return false;
    return verb != NAME_TRANSFER || (to && text_read_id(to, ret_id)) ||
           err_set(err, ERR_INVALID_ARGUMENT, "an ID has 6 to 9 digits");
}

static bool send_off(struct peer *peer, enum name_verb verb, const char *name, const char *to,
                     struct peer_error *ret_error)
{
    struct err err = { 0 };
    char id[TEXT_ID] = "";

    if (!check_asked(peer, verb, name, to, id, &err)) {
        errand_put_error(&err, ret_error);
        return false;
    }
    struct errand *errand = errand_new(peer, NULL, NULL);
    errand->code = verb;
    errand->text = name ? mem_text(name) : NULL;
    errand->argument = *id ? mem_text(id) : NULL;
    errand_send(errand, run);
    return true;
}

bool peer_name_claim(struct peer *peer, const char *name, struct peer_error *ret_error)
{
    return send_off(peer, NAME_CLAIM, name, NULL, ret_error);
}

bool peer_name_release(struct peer *peer, const char *name, struct peer_error *ret_error)
{
    return send_off(peer, NAME_RELEASE, name, NULL, ret_error);
}

bool peer_name_transfer(struct peer *peer, const char *name, const char *id,
                        struct peer_error *ret_error)
{
    return send_off(peer, NAME_TRANSFER, name, id, ret_error);
}

bool peer_name_list(struct peer *peer, struct peer_error *ret_error)
{
    return send_off(peer, NAME_LIST, NULL, NULL, ret_error);
}
