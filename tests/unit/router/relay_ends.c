/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/router/relay_ends.h"

#include <stdio.h>

static const char *const ids[] = { "456000", "123456" };

/* ---- the relay's outside --------------------------------------------------------------------- */

static void take_datagram(void *user, struct view datagram)
{
    struct relay_end *end = user;

    if (!end->has_nonce && datagram.len == RPC_NONCE32 + KEY_SIZE) {
        memcpy(end->nonce, datagram.data, RPC_NONCE32);
        end->has_nonce = true;
        return;
    }
    buf_put(&end->got, datagram);
    buf_put_u8(&end->got, '|');
    end->n_got++;
}

static void take_word(void *user, const char *word)
{
    struct relay_end *end = user;

    CHECK(!end->is_closed);
    snprintf(end->words + strlen(end->words), sizeof(end->words) - strlen(end->words), "%s ", word);
}

static size_t queued(void *user)
{
    return ((struct relay_end *)user)->queued;
}

static void closed(void *user, enum relay_code code, const char *reason)
{
    struct relay_end *end = user;

    CHECK(!end->is_closed);
    end->is_closed = true;
    end->code = (int)code;
    snprintf(end->reason, sizeof(end->reason), "%s", reason);
}

static void proved(void *user)
{
    ((struct relay_end *)user)->is_proved = true;
}

static const struct relay_outside outside = { take_datagram, take_word, queued, closed, proved };

/* ---- the scene ------------------------------------------------------------------------------- */

void scene_grant(struct relay_scene *scene, uint8_t sid, const struct key *key, bool is_installed)
{
    struct world *w = scene->world;
    uint8_t hash[HASH_SIZE] = { 9 };
    const struct rpc_grant g = {
        .netid = VIEW_ARR(w->netid),
        .sid = VIEW_ARR(scene->sid),
        .a_id = view_text(ids[0]),
        .a_pk = key_public_view(scene->key[0]),
        .b_id = view_text(ids[1]),
        .b_pk = key_public_view(scene->key[1]),
        .dial_hash = VIEW_ARR(hash),
        .issued_at = w->now.wall,
        .live_until = scene->live_until,
        .beacon = VIEW_ARR(w->beacon),
        .crl_no = 1,
        .policy_no = 1,
    };
    _buf_ args = { 0 };

    memset(scene->sid, sid, sizeof(scene->sid));
    buf_free(&scene->grant);
    rpc_statement_sign(RPC_W_GRANT, &g, key ? key : w->den_sign, &scene->grant, scene->grant_sig);
    rpc_put_array(&args, 2);
    rpc_put_bin(&args, buf_view(&scene->grant));
    rpc_put_bin(&args, VIEW_ARR(scene->grant_sig));
    if (is_installed)
        CHECK_STR(try_call(scene->den, "network.grant.install", buf_view(&args)), "RESULT");
}

void scene_remove(struct relay_scene *scene)
{
    _buf_ args = { 0 };

    rpc_put_array(&args, 1);
    rpc_put_bin(&args, VIEW_ARR(scene->sid));
    CHECK_STR(try_call(scene->den, "network.grant.remove", buf_view(&args)), "RESULT");
}

struct relay_scene *relay_scene_new(void)
{
    struct relay_scene *scene = mem_new(struct relay_scene);

    scene->world = world_new();
    scene->den = join_den(scene->world);
    scene->key[0] = key_new();
    scene->key[1] = key_new();
    scene->adm_no = 1;
    scene->adm_not_after = scene->world->now.wall + 7 * DAY_MS;
    scene->relay = relay_new(scene->world->router, &outside);
    scene_grant(scene, 1, NULL, true);
    return scene;
}

void relay_scene_drop(struct relay_scene *scene)
{
    for (size_t i = 0; i < scene->n_ends; i++) {
        end_drop(scene->ends[i]);
        buf_free(&scene->ends[i]->got);
        free(scene->ends[i]);
    }
    scene->n_ends = 0;
}

void relay_scene_free(struct relay_scene *scene)
{
    if (!scene)
        return;
    relay_scene_drop(scene);
    CHECK_U64(relay_n_sessions(scene->relay), 0);
    CHECK_U64(relay_n_sockets(scene->relay), 0);
    relay_free(scene->relay);
    world_free(scene->world);
    key_free(scene->key[0]);
    key_free(scene->key[1]);
    buf_free(&scene->grant);
    free(scene->ends);
    free(scene);
}

void relay_scene_restart(struct relay_scene *scene)
{
    relay_scene_drop(scene);
    relay_free(scene->relay);
    world_restart(scene->world);
    scene->relay = relay_new(scene->world->router, &outside);
    scene->den = join_den(scene->world);
}

/* ---- an end ---------------------------------------------------------------------------------- */

struct relay_end *end_new(struct relay_scene *scene)
{
    struct relay_end *end = mem_new(struct relay_end);

    scene->ends = mem_resize(scene->ends, scene->n_ends + 1, sizeof(*scene->ends));
    scene->ends[scene->n_ends++] = end;
    end->scene = scene;
    random_bytes(end->exporter, sizeof(end->exporter));
    end->socket = relay_opened(scene->relay, scene->world->now, end, "192.0.2.1", end->exporter);
    return end;
}

void end_drop(struct relay_end *end)
{
    if (end->socket)
        relay_closed(STEAL(end->socket), end->scene->world->now);
}

void say_init(struct relay_say *say, const struct relay_end *end, unsigned side)
{
    const struct relay_scene *scene = end->scene;

    *say = (struct relay_say){ 0 };
    hash_sha256(buf_view(&scene->grant), say->grant_hash);
    say->y = (struct rpc_relay){
        .netid = VIEW_ARR(scene->world->netid),
        .sid = VIEW_ARR(scene->sid),
        .grant_hash = VIEW_ARR(say->grant_hash),
        .side = side,
        .pk = key_public_view(scene->key[side]),
        .router_pk = key_public_view(scene->world->router_key),
        .binding = VIEW_LIT("tls-exporter"),
        .binding_data = VIEW_ARR(end->exporter),
        .nonce = VIEW_ARR(end->nonce),
    };
    say->key = say->admission_key = scene->key[side];
    say->admission_id = ids[side];
}

void say_put(const struct relay_say *say, const struct relay_end *end, struct buf *to)
{
    const struct relay_scene *scene = end->scene;
    const struct rpc_admission a = {
        .netid = VIEW_ARR(scene->world->netid),
        .network = VIEW_LIT(WORLD_NETWORK),
        .id = view_text(say->admission_id),
        .client_pk = key_public_view(say->admission_key),
        .role = VIEW_LIT("peer"),
        .adm_no = scene->adm_no,
        .issued_at = scene->world->now.wall - 1000,
        .not_after = scene->adm_not_after,
    };
    uint8_t y_sig[SIG_SIZE], a_sig[SIG_SIZE];
    _buf_ y_bytes = { 0 }, a_bytes = { 0 };

    rpc_statement_sign(RPC_W_RELAY, &say->y, say->key, &y_bytes, y_sig);
    rpc_statement_sign(RPC_W_ADMISSION, &a, scene->world->den_sign, &a_bytes, a_sig);
    rpc_put_array(to, 6);
    rpc_put_bin(to, buf_view(&scene->grant));
    rpc_put_bin(to, VIEW_ARR(scene->grant_sig));
    rpc_put_bin(to, buf_view(&y_bytes));
    rpc_put_bin(to, VIEW_ARR(y_sig));
    rpc_put_bin(to, buf_view(&a_bytes));
    rpc_put_bin(to, VIEW_ARR(a_sig));
}

void end_input(struct relay_end *end, struct view message)
{
    relay_input(end->socket, end->scene->world->now, false, message);
}

void end_say(struct relay_end *end, const struct relay_say *say)
{
    _buf_ message = { 0 };

    say_put(say, end, &message);
    end_input(end, buf_view(&message));
}

void end_send(struct relay_end *end, const char *datagram)
{
    end_input(end, view_text(datagram));
}

struct relay_end *end_open(struct relay_scene *scene, unsigned side)
{
    struct relay_end *end = end_new(scene);
    struct relay_say say;

    say_init(&say, end, side);
    end_say(end, &say);
    CHECK(end->is_proved);
    return end;
}
