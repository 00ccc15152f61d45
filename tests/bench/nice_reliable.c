/* SPDX-License-Identifier: Apache-2.0 */
/* The competitor: libnice's reliable mode (PseudoTCP, nothing encrypted) on loopback, Mbit/s of
 * payload. A thread and a GLib context for each end, as in link_loopback.c.
 *
 * nice_reliable ADDRESS caller|callee: one end alone, which says its description as a line and reads the other one's. */
#include "base/mem.h"
#include "tests/bench/meter.h"

#include <nice/agent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { GIVE_UP_AFTER_S = 60, COMPONENT = 1 };

struct end {
    bool is_caller, is_ready;
    GAsyncQueue *ours, *theirs; /* descriptions as SDP */
    GMainLoop *loop;
    const char *address;
    NiceAgent *agent;
    guint stream;
    struct meter meter;
};

static char block[65536];

static void write_more(struct end *end)
{
    if (end->is_caller && end->is_ready)
        while (nice_agent_send(end->agent, end->stream, COMPONENT, sizeof(block), block) > 0)
            ;
}

static void on_writable(NiceAgent *agent, guint stream, guint component, gpointer user)
{
    (void)agent;
    (void)stream;
    (void)component;
    write_more(user);
}

static void on_state(NiceAgent *agent, guint stream, guint component, guint state, gpointer user)
{
    struct end *end = user;

    (void)agent;
    (void)stream;
    (void)component;
    if (state == NICE_COMPONENT_STATE_FAILED)
        g_main_loop_quit(end->loop);
    if (state == NICE_COMPONENT_STATE_READY)
        end->is_ready = true;
    write_more(end);
}

static void on_recv(NiceAgent *agent, guint stream, guint component, guint len, gchar *bytes,
                    gpointer user)
{
    struct end *end = user;

    (void)agent;
    (void)stream;
    (void)component;
    (void)bytes;
    meter_add(&end->meter, len);
    if (end->meter.is_done)
        g_main_loop_quit(end->loop);
}

static void on_gathered(NiceAgent *agent, guint stream, gpointer user)
{
    struct end *end = user;

    (void)stream;
    g_async_queue_push(end->ours, nice_agent_generate_local_sdp(agent));
}

static void make_agent(struct end *end, GMainContext *context)
{
    NiceAddress loopback;

    end->agent =
        nice_agent_new_full(context, NICE_COMPATIBILITY_RFC5245, NICE_AGENT_OPTION_RELIABLE);
    g_object_set(end->agent, "controlling-mode", (gboolean)end->is_caller, "ice-tcp", FALSE, "upnp",
                 FALSE, NULL);
    nice_address_init(&loopback);
    nice_address_set_from_string(&loopback, end->address);
    nice_agent_add_local_address(end->agent, &loopback);
    end->stream = nice_agent_add_stream(end->agent, COMPONENT);
    nice_agent_set_stream_name(end->agent, end->stream, "application");
    g_signal_connect(end->agent, "candidate-gathering-done", G_CALLBACK(on_gathered), end);
    g_signal_connect(end->agent, "component-state-changed", G_CALLBACK(on_state), end);
    g_signal_connect(end->agent, "reliable-transport-writable", G_CALLBACK(on_writable), end);
    nice_agent_attach_recv(end->agent, end->stream, COMPONENT, context, on_recv, end);
}

static gpointer end_main(gpointer user)
{
    struct end *end = user;
    GMainContext *context = g_main_context_new();
    gchar *theirs;

    g_main_context_push_thread_default(context);
    end->loop = g_main_loop_new(context, FALSE);
    make_agent(end, context);
    nice_agent_gather_candidates(end->agent, end->stream);
    theirs = g_async_queue_pop(end->theirs);
    if (nice_agent_parse_remote_sdp(end->agent, theirs) > 0)
        g_main_loop_run(end->loop);
    g_free(theirs);
    return NULL;
}

static gpointer read_theirs(gpointer user)
{
    struct end *end = user;
    char line[8192];

    if (!fgets(line, sizeof(line), stdin))
        exit(1);
    line[strcspn(line, "\n")] = 0;
    g_async_queue_push(end->theirs, g_strcompress(line));
    return NULL;
}

static int one_end(const char *address, bool is_caller)
{
    struct end end = { .is_caller = is_caller,
                       .address = address,
                       .ours = g_async_queue_new(),
                       .theirs = g_async_queue_new() };
    GThread *thread = g_thread_new("end", end_main, &end);
    gchar *ours = g_async_queue_pop(end.ours), *line = g_strescape(ours, NULL);

    printf("%s\n", line);
    fflush(stdout);
    read_theirs(&end);
    g_thread_join(thread);
    if (end.meter.is_done)
        meter_print(&end.meter, "libnice, reliable mode");
    fflush(stdout);
    _exit(end.meter.is_done ? 0 : 1);
}

/* The caller would write for ever: the process ends as soon as the receiver has counted. */
int main(int argc, char **argv)
{
    GAsyncQueue *a = g_async_queue_new(), *b = g_async_queue_new();
    struct end caller = { .is_caller = true, .address = "127.0.0.1", .ours = a, .theirs = b },
               callee = { .address = "127.0.0.1", .ours = b, .theirs = a };
    GThread *receiver;

    alarm(GIVE_UP_AFTER_S);
    if (argc == 3)
        return one_end(argv[1], strcmp(argv[2], "caller") == 0);
    receiver = g_thread_new("callee", end_main, &callee);
    g_thread_unref(g_thread_new("caller", end_main, &caller));
    g_thread_join(receiver);
    if (callee.meter.is_done)
        meter_print(&callee.meter, "libnice, reliable mode");
    fflush(stdout);
    _exit(callee.meter.is_done ? 0 : 1);
}
