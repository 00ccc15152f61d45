/* SPDX-License-Identifier: Apache-2.0 */
/* A router says that our key was revoked, and the next one waits for den's answer: den may have taken it, and its answer was lost. Anybody
 * in the router's place can say so. So the next key is tried beside, in a connection of its own, and it is ours when den has signed an
 * admission of this ID for it; until then the key before stays, and its connection is tried again. */
#include "peer/core.h"

struct trial {
    struct core *core;
    struct key *next;
    struct rpc_uplink *uplink;
    uint8_t enrol_hash[HASH_SIZE];
};

void trial_end(struct core *core)
{
    struct trial *trial = STEAL(core->trial);

    if (!trial)
        return;
    rpc_uplink_free(trial->uplink);
    key_free(trial->next);
    free(trial);
}

static bool on_judge(void *user, const char *host, const struct view *chain, size_t n,
                     struct err *err)
{
    const struct trial *trial = user;

    return join_judge_router(trial->core, host, chain, n, err);
}

static bool on_credentials(void *user, struct buf *ret_extra, struct err *err)
{
    struct trial *trial = user;
    const struct core *core = trial->core;
    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(core->trust);
    char host[65];

    if (!heart)
        return err_set(err, ERR_DEN_AWAY, "there is no heartbeat to enrol with");
    enrol_host_text(host);
    const struct enrol_context context = {
        .netid = rpc_trust_netid(core->trust),
        .beacon = heart->beacon,
        .network = core->join.network,
        .host = host,
        .identity = trial->next,
    };
    enrol_put(&context, ret_extra, trial->enrol_hash);
    return true;
}

static bool on_admitted(void *user, struct view admission, struct view sig,
                        const struct rpc_admission *a, struct err *err)
{
    struct trial *trial = user;
    struct core *core = trial->core;
    const struct enrol_wanted wanted = { .id = "", .enrol_hash = trial->enrol_hash };

    if (core->has_failed)
        return err_set(err, ERR_CLOSED, "this peer is over");
    if (!enrol_check(&wanted, admission, a, err))
        return false;
    if (!view_eq_text(a->id, core->id)) { /* it is that one's for good, and never ours */
        rekey_drop(core);
        return err_set(err, ERR_BAD_STATEMENT, "admission: gives the next key another ID");
    }
    return rekey_admitted(core, admission, sig, err) &&
           err_set(err, ERR_CLOSED, "this peer is over"); /* the next one has the new key */
}

static void on_trust(void *user)
{
    const struct trial *trial = user;

    trust_moved(trial->core);
}

static void on_fork(void *user, struct view bytes, struct view sig, const struct err *why)
{
    const struct trial *trial = user;

    trust_on_fork(trial->core, bytes, sig, why);
}

static void end(void *user)
{
    trial_end(user);
}

/* It came to nothing: what the router said stands for now. */
static void on_retry(void *user, _unused_ const struct err *why, _unused_ uint64_t pause_ms)
{
    const struct trial *trial = user;
    struct core *core = trial->core;

    loop_invoke(core->loop, end, core); /* not from inside its own callback */
    if (core->has_failed || core->has_tried)
        return;
    core->has_tried = true;
    join_tell_offline(core, &core->offline, 0);
}

bool trial_begin(struct core *core)
{
    struct trial *trial;
    _free_ char *name = mem_format("router.%s", core->join.network);
    struct key *next = core->trial ? NULL : rekey_next(core);
    struct err unused;

    if (!next)
        return core->trial != NULL;
    trial = core->trial = mem_new(struct trial);
    trial->core = core;
    trial->next = next;
    struct rpc_uplink_config config = {
        .ws = core->ws,
        .hosts = core->join.hosts,
        .n_hosts = core->join.n_hosts,
        .server_name = name,
        .judge = on_judge,
        .on_retry = on_retry,
        .client = { .agent = "libpeer/" WARREN_VERSION,
                    .key = next,
                    .trust = core->trust,
                    .credentials = on_credentials,
                    .admitted = on_admitted,
                    .on_trust = on_trust,
                    .on_fork = on_fork,
                    .user = trial },
    };

    memcpy(config.client.instance, core->instance, sizeof(config.client.instance));
    if (rpc_uplink_new(&config, &trial->uplink, &unused))
        return true;
    trial_end(core);
    return false;
}
