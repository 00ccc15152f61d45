/* SPDX-License-Identifier: Apache-2.0 */
/* Two agents in one process whose paths all go through a real TURN server (coturn) on loopback. */
#include "ice/ice.h"
#include "tests/check.h"
#include "tests/unit/ice/turn.h"

#include <arpa/inet.h>
#include <gio/gio.h>
#include <glib.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000 };

struct side {
    struct ice_agent *agent, *other;
    enum ice_state state;
    unsigned n_candidates, n_direct, n_packets;
    bool is_gathered, was_host_told;
};

/* ---- the server ---------------------------------------------------------------------------- */

static pid_t server;
static uint16_t port;

static bool can_connect(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool ok;

    inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
    ok = connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0;
    close(fd);
    return ok;
}

static uint16_t free_port(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
    bind(fd, (struct sockaddr *)&at, sizeof(at));
    getsockname(fd, (struct sockaddr *)&at, &len);
    close(fd);
    return ntohs(at.sin_port);
}

static void run_server(void)
{
    char text[16];

    snprintf(text, sizeof(text), "%u", port);
    close(1);
    close(2);
    execlp("turnserver", "turnserver", "-n", "-L", "127.0.0.1", "-E", "127.0.0.1", "-p", text, "-a",
           "-u", "peer:password", "-r", "corp.example", "--allow-loopback-peers", "--no-cli",
           "--no-tls", "--no-dtls", "--user-quota", "50", "-l", "/dev/null", "--pidfile",
           "/dev/null", "-m", "1", NULL);
    _exit(127);
}

static void stop_server(void)
{
    if (server <= 0)
        return;
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    server = 0;
}

/* False: it does not run here. */
static bool need_server(void)
{
    if (server)
        return server > 0;
    port = free_port();
    server = fork();
    if (server == 0)
        run_server();
    atexit(stop_server);
    for (int i = 0; i < 600; i++) {
        int status;
        if (can_connect())
            return true;
        if (waitpid(server, &status, WNOHANG) == server) {
            check_failed(__FILE__, __LINE__, "turnserver does not run: install coturn");
            server = -1;
            return false;
        }
        g_usleep(100000);
    }
    return false;
}

/* ---- two sides ----------------------------------------------------------------------------- */

static void on_state(void *user, enum ice_state state)
{
    ((struct side *)user)->state = state;
}

/* Trickled at once, as the router would bring it. */
static void on_candidate(void *user, const char *line)
{
    struct side *side = user;
    struct err err;

    side->n_candidates++;
    side->was_host_told |= strstr(line, " typ relay") == NULL;
    CHECK(ice_agent_add_remote(side->other, view_text(line), &err));
}

static void on_gathered(void *user)
{
    ((struct side *)user)->is_gathered = true;
}

static void on_packets(void *user, const struct view *packets, size_t n)
{
    (void)packets;
    ((struct side *)user)->n_packets += (unsigned)n;
}

static const struct ice_events events = { .on_state = on_state,
                                          .on_candidate = on_candidate,
                                          .on_gathered = on_gathered,
                                          .on_packets = on_packets };

static void begin(GMainContext *context, struct side *a, struct side *b,
                  const struct ice_turn *turn)
{
    struct ice_config config = {
        .context = context, .allow_loopback = true, .turn = turn, .events = &events
    };
    struct side *sides[] = { a, b };
    struct err err;

    for (size_t i = 0; i < 2; i++) {
        config.is_controlling = i == 0;
        config.user = sides[i];
        CHECK_OK(ice_agent_new(&config, &sides[i]->agent, &err), err);
    }
    a->other = b->agent;
    b->other = a->agent;
    for (size_t i = 0; i < 2; i++) {
        _cleanup_(ice_description_deinit) struct ice_description ours = { 0 };
        CHECK_OK(ice_agent_gather(sides[i]->agent, &err), err);
        ice_agent_describe(sides[i]->agent, &ours);
        CHECK(i == 1 || ours.n_candidates == 0); /* the server has not answered */
        CHECK_OK(ice_agent_set_remote(sides[i]->other, &ours, &err), err);
    }
}

static void end(GMainContext *context, struct side *a, struct side *b)
{
    ice_agent_free(a->agent);
    ice_agent_free(b->agent);
    CHECK(TURN_UNTIL(context, PATIENCE_MS, ice_n_closing() == 0));
    g_main_context_unref(context);
}

static struct ice_turn turn_at(const char *host, bool is_tcp)
{
    struct ice_turn turn = { .n_servers = 1, .username = "peer", .password = "password" };

    snprintf(turn.servers[0].host, sizeof(turn.servers[0].host), "%s", host);
    turn.servers[0].port = port;
    turn.servers[0].is_tcp = is_tcp;
    return turn;
}

/* Both ends know that each packet goes through the server. */
static void check_relayed(struct side *a, struct side *b)
{
    struct ice_path path = { 0 };

    CHECK(ice_agent_path(a->agent, &path));
    CHECK_STR(ice_kind_name(path.local_kind), "relay");
    CHECK(ice_agent_path(b->agent, &path));
    CHECK_STR(ice_kind_name(path.remote_kind), "relay");
    CHECK(!a->was_host_told);
}

static void carry(const struct ice_turn *turn)
{
    GMainContext *context = g_main_context_new();
    struct side a = { 0 }, b = { 0 };
    uint8_t bytes[1000] = { 0 };
    struct view packets[20];

    for (size_t i = 0; i < N_ELEMENTS(packets); i++)
        packets[i] = VIEW_ARR(bytes);
    begin(context, &a, &b, turn);
    CHECK(TURN_UNTIL(context, PATIENCE_MS, a.state == ICE_READY && b.state == ICE_READY));
    check_relayed(&a, &b);
    CHECK(TURN_UNTIL(context, PATIENCE_MS, a.is_gathered));
    CHECK(TURN_UNTIL(context, PATIENCE_MS,
                     ice_agent_send(a.agent, packets, 20) + ice_agent_send(b.agent, packets, 20) &&
                         a.n_packets >= 20 && b.n_packets >= 20));
    end(context, &a, &b);
}

TEST(a_path_through_the_server_over_udp)
{
    if (!need_server())
        return;
    const struct ice_turn turn = turn_at("127.0.0.1", false);
    carry(&turn);
}

TEST(a_path_through_the_server_over_tcp)
{
    if (!need_server())
        return;
    const struct ice_turn turn = turn_at("127.0.0.1", true);
    carry(&turn);
}

TEST(the_server_may_have_a_name)
{
    if (!need_server())
        return;
    const struct ice_turn turn = turn_at("localhost", false);
    carry(&turn);
}

/* ---- a name with several addresses -------------------------------------------------------------- */

typedef GResolver Names;
typedef GResolverClass NamesClass;
GType names_get_type(void);
G_DEFINE_TYPE(Names, names, G_TYPE_RESOLVER)

static void names_look_up(GResolver *names, _unused_ const gchar *name, GCancellable *cancellable,
                          GAsyncReadyCallback done, gpointer user)
{
    /* without a route; nobody there; silent; the server */
    static const char *const texts[] = { "2001:db8::7", "::1", "127.0.0.77", "127.0.0.1" };
    GTask *task = g_task_new(names, cancellable, done, user);
    GList *all = NULL;

    for (size_t i = 0; i < N_ELEMENTS(texts); i++)
        all = g_list_append(all, g_inet_address_new_from_string(texts[i]));
    g_task_return_pointer(task, all, NULL);
    g_object_unref(task);
}

static GList *names_finish(_unused_ GResolver *names, GAsyncResult *result, GError **error)
{
    return g_task_propagate_pointer(G_TASK(result), error);
}

static void names_class_init(NamesClass *class)
{
    class->lookup_by_name_async = names_look_up;
    class->lookup_by_name_finish = names_finish;
}

static void names_init(_unused_ Names *names)
{
}

TEST(each_address_of_a_name_is_tried)
{
    GResolver *names, *usual;

    if (!need_server())
        return;
    const struct ice_turn turn = turn_at("turn.corp.example", false);
    usual = g_resolver_get_default();
    names = g_object_new(names_get_type(), NULL);
    g_resolver_set_default(names);
    carry(&turn);
    g_resolver_set_default(usual);
    g_object_unref(names);
    g_object_unref(usual);
}

TEST(a_server_that_is_silent_over_udp_is_asked_over_tcp)
{
    if (!need_server())
        return;
    struct ice_turn turn = turn_at("127.0.0.1", false);
    turn.servers[turn.n_servers++] = turn.servers[0];
    turn.servers[0].port = 9; /* nobody answers */
    turn.servers[1].is_tcp = true;
    carry(&turn);
}

TEST(a_credential_that_is_wrong_ends_it)
{
    GMainContext *context = g_main_context_new();
    struct ice_turn turn = turn_at("127.0.0.1", false);
    struct side a = { 0 }, b = { 0 };

    if (!need_server())
        return;
    snprintf(turn.password, sizeof(turn.password), "wrong");
    begin(context, &a, &b, &turn);
    CHECK(TURN_UNTIL(context, PATIENCE_MS, a.state == ICE_FAILED && a.is_gathered));
    CHECK_U64(a.n_candidates, 0);
    end(context, &a, &b);
}

TEST(an_agent_that_goes_while_it_asks_leaves_nothing)
{
    GMainContext *context = g_main_context_new();
    const struct ice_turn turn = turn_at("localhost", false);
    struct side a = { 0 }, b = { 0 };

    if (!need_server())
        return;
    begin(context, &a, &b, &turn);
    end(context, &a, &b);
}
