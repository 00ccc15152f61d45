/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/turn_try.h"

enum { TELL_CALL_MS = 10000, TELL_AGAIN_MS = 2000, MAX_UFRAG = 256 };

struct turn_try {
    struct session *session;
    uint64_t number;
    struct carrier_ice *carrier;
    bool has_failed;
    char *ours[ICE_MAX_LATER];
    size_t n_ours, n_told;
    bool is_told; /* our credentials are */
    bool ours_ended, ours_end_told;
    uint64_t told_at;            /* clock_mono_ms() */
    char *ufrag, *pwd;           /* theirs; NULL: not yet */
    char *theirs[ICE_MAX_LATER]; /* they may come before our agent */
    size_t n_theirs, n_given;
    bool theirs_ended, is_remote_set;
};

struct turn_try *turn_try_new(struct session *session, uint64_t number)
{
    struct turn_try *try = mem_new(struct turn_try);

    try->session = session;
    try->number = number;
    return try;
}

void turn_try_free(struct turn_try *try)
{
    if (!try)
        return;
    carrier_ice_free(try->carrier);
    for (size_t i = 0; i < ICE_MAX_LATER; i++) {
        free(try->ours[i]);
        free(try->theirs[i]);
    }
    free(try->ufrag);
    if (try->pwd)
        mem_wipe(try->pwd, strlen(try->pwd));
    free(try->pwd);
    free(try);
}

uint64_t turn_try_number(const struct turn_try *try)
{
    return try->number;
}

bool turn_try_has_begun(const struct turn_try *try)
{
    return try && try->carrier && !try->has_failed;
}

bool turn_try_has_failed(const struct turn_try *try)
{
    return try->has_failed;
}

bool turn_try_is_alive(const struct turn_try *try)
{
    return try && try->carrier && carrier_ice_is_alive(try->carrier);
}

bool turn_try_has_candidate(const struct turn_try *try)
{
    return try && try->carrier && ice_agent_has_relayed(carrier_ice_agent(try->carrier));
}

/* ---- telling the other side -------------------------------------------------------------------- */

static void on_told(void *user, const struct rpc_outcome *outcome)
{
    (void)user;
    (void)outcome; /* without these candidates there may still be a path */
}

static void put_flag(struct buf *to, const char *name)
{
    rpc_put_str(to, name);
    rpc_put_bool(to, true);
}

/* A map with `n_more` pairs behind these. */
static void put_which(const struct turn_try *try, uint32_t n_more, struct buf *to)
{
    rpc_put_map(to, 1u + (try->number > 0) + n_more);
    rpc_put_str(to, "path");
    rpc_put_str(to, "turn");
    if (try->number > 0) {
        rpc_put_str(to, "try");
        rpc_put_u64(to, try->number);
    }
}

static void put_more(const struct turn_try *try, struct buf *to)
{
    struct ice_description d = { 0 };

    ice_agent_describe(carrier_ice_agent(try->carrier), &d);
    put_which(try, 2u + try->ours_ended, to);
    rpc_put_str(to, "ufrag");
    rpc_put_str(to, d.ufrag);
    rpc_put_str(to, "pwd");
    rpc_put_str(to, d.pwd);
    ice_description_deinit(&d);
    if (try->ours_ended)
        put_flag(to, "end");
}

static bool has_news(const struct turn_try *try)
{
    return !try->is_told || try->n_told < try->n_ours || (try->ours_ended && !try->ours_end_told);
}

static bool is_time_to_repeat(const struct turn_try *try)
{
    return try->number > 0 && !try->has_failed && clock_mono_ms() - try->told_at >= TELL_AGAIN_MS &&
           ice_agent_state(carrier_ice_agent(try->carrier)) != ICE_READY;
}

/* Of the first one what is new, as it always was; of a later one all that is known, each time. */
static void put_candidates(struct turn_try *try, struct buf *to)
{
    size_t from = try->number > 0 ? 0 : try->n_told;

    rpc_put_array(to, (uint32_t)(try->n_ours - from));
    for (size_t i = from; i < try->n_ours; i++)
        rpc_put_str(to, try->ours[i]);
    try->n_told = try->n_ours;
}

static bool can_tell(const struct session *session)
{
    return session->core->is_up && session->core->client &&
           (session->state == SESSION_CONNECTING || session->state == SESSION_UP);
}

static void put_sid(const struct turn_try *try, struct buf *to)
{
    rpc_put_array(to, 3);
    rpc_put_bin(to, VIEW_ARR(try->session->sid));
}

static void tell(const struct turn_try *try, struct view args)
{
    struct core *core = try->session->core;
    _free_ char *procedure = mem_format("peer.%s.ice.update", try->session->remote_id);

    rpc_client_call(core->client, clock_mono_ms(), procedure, args, TELL_CALL_MS, false, on_told,
                    NULL);
    core_flush_soon(core);
}

void turn_try_tell(struct turn_try *try)
{
    _buf_wipe_ args = { 0 };

    if (!try->carrier || !can_tell(try->session) || !(has_news(try) || is_time_to_repeat(try)))
        return;
    put_sid(try, &args);
    put_candidates(try, &args);
    put_more(try, &args);
    try->is_told = true;
    try->ours_end_told = try->ours_ended;
    try->told_at = clock_mono_ms();
    tell(try, buf_view(&args));
}

void turn_try_tell_failed(const struct turn_try *try)
{
    bool is_known_there = try->is_told || try->ufrag;
    _buf_ args = { 0 };

    if (try->number == 0 || !is_known_there || !can_tell(try->session))
        return;
    put_sid(try, &args);
    rpc_put_array(&args, 0);
    put_which(try, 1, &args);
    put_flag(&args, "failed");
    tell(try, buf_view(&args));
}

static void on_candidate(void *user, const char *line)
{
    struct turn_try *try = user;

    if (try->n_ours < ICE_MAX_LATER)
        try->ours[try->n_ours++] = mem_text(line);
    turn_try_tell(try);
}

static void on_gathered(void *user)
{
    struct turn_try *try = user;

    try->ours_ended = true;
    turn_try_tell(try);
}

static void on_state(void *user, enum ice_state state)
{
    struct turn_try *try = user;

    try->has_failed = state == ICE_FAILED;
    turned_soon(try->session);
    if (try->has_failed)
        session_look_for_path(try->session);
}

/* ---- hearing of it ----------------------------------------------------------------------------- */

/* As far as both have come. */
static void pair(struct turn_try *try)
{
    struct ice_description theirs = { .ufrag = try->ufrag, .pwd = try->pwd };
    struct ice_agent *agent;
    struct err ignored;

    if (!try->carrier || !try->ufrag)
        return;
    agent = carrier_ice_agent(try->carrier);
    if (!try->is_remote_set)
        try->is_remote_set = ice_agent_set_remote(agent, &theirs, &ignored);
    while (try->n_given < try->n_theirs)
        ice_agent_add_remote(agent, view_text(try->theirs[try->n_given++]), &ignored);
    if (try->theirs_ended)
        ice_agent_end_remote(agent);
}

/* The same rules as for a description that is signed. */
static void take_credentials(struct turn_try *try, struct view more)
{
    struct view ufrag = { 0 }, pwd = { 0 };
    _cleanup_(ice_description_deinit) struct ice_description d = { 0 };
    _buf_wipe_ text = { 0 };
    struct err ignored;

    if (try->ufrag || !rpc_map_text(more, "ufrag", &ufrag) || !rpc_map_text(more, "pwd", &pwd) ||
        ufrag.len > MAX_UFRAG || pwd.len > MAX_UFRAG)
        return;
    buf_printf(&text, "ice-ufrag:%.*s\nice-pwd:%.*s\n", VIEW_FMT(ufrag), VIEW_FMT(pwd));
    if (!ice_description_read(buf_view(&text), &d, &ignored) || d.n_candidates || d.is_complete)
        return;
    try->ufrag = STEAL(d.ufrag);
    try->pwd = STEAL(d.pwd);
}

static bool knows(const struct turn_try *try, struct view line)
{
    for (size_t i = 0; i < try->n_theirs; i++) {
        if (view_eq_text(line, try->theirs[i]))
            return true;
    }
    return false;
}

void turn_try_take(struct turn_try *try, struct view list, struct view more)
{
    struct rpc_fields f;
    struct err ignored;

    take_credentials(try, more);
    rpc_fields_open(&f, list);
    while (rpc_fields_more(&f)) {
        struct view line = rpc_fields_text(&f, "candidate", ICE_MAX_LINE);
        if (try->n_theirs < ICE_MAX_LATER && !knows(try, line) &&
            ice_candidate_check(line, true, &ignored))
            try->theirs[try->n_theirs++] = view_dup_text(line);
    }
    try->theirs_ended |= rpc_map_bool(more, "end");
    pair(try);
}

/* ---- the agent ----------------------------------------------------------------------------------- */

static bool make_agent(struct turn_try *try, const struct ice_turn *servers)
{
    static const struct carrier_ice_events events = { on_candidate, on_gathered, on_state };
    struct session *session = try->session;
    const struct carrier_ice_config config = {
        .context = loop_context(session->core->loop),
        .is_controlling = session->is_caller,
        .allow_loopback = session->core->allow_loopback,
        .turn = servers,
        .events = &events,
        .user = try,
    };
    struct err ignored;

    return carrier_ice_new(session->path, &config, &try->carrier, &ignored) &&
           ice_agent_gather(carrier_ice_agent(try->carrier), &ignored);
}

void turn_try_begin(struct turn_try *try, const struct ice_turn *servers)
{
    struct ice_description ours = { 0 };

    try->has_failed = !loop_has_descriptors() || !make_agent(try, servers);
    if (!try->carrier)
        return;
    ice_agent_describe(carrier_ice_agent(try->carrier), &ours); /* from now on it tells */
    for (size_t i = 0; i < ours.n_candidates && try->n_ours < ICE_MAX_LATER; i++)
        try->ours[try->n_ours++] = mem_text(ours.candidates[i]);
    ice_description_deinit(&ours);
    turn_try_tell(try);
    pair(try);
}
