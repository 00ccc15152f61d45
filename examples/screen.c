/* SPDX-License-Identifier: Apache-2.0 */
/* A remote screen, with GLib: frames come as datagrams, of which the newest counts; keys go back on a stream that is more urgent than
 * all else. The "screen" is 40 x 10 characters with a cursor.
 *
 *     screen STATE-DIR          shows its screen to who calls
 *     screen STATE-DIR ID       looks at ID's screen; h j k l move the cursor there, q ends
 *
 * Policy lets one reach the other for `view` and `control`. Compile: cc screen.c $(pkg-config --cflags --libs libpeer glib-2.0) */
#include <glib-unix.h>
#include <glib.h>
#include <peer.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WIDTH = 40, HEIGHT = 10, PER_SECOND = 30 };

struct frame {       /* as one datagram: it is drawn whole, or not at all */
    uint32_t number; /* big-endian */
    char cells[HEIGHT][WIDTH];
};

static const char *const capabilities[] = { "view", "control", NULL };
static struct peer *peer;
static struct peer_link *viewer;    /* who looks at our screen */
static struct peer_stream *control; /* what we type goes here */
static const char *whom;
static GMainLoop *loop;
static uint32_t number, shown;
static int x = WIDTH / 2, y = HEIGHT / 2, status;

/* ---- who shows ---- */

static gboolean on_tick(gpointer user)
{
    struct frame frame;
    struct peer_error error;

    (void)user;
    frame.number = GUINT32_TO_BE(++number);
    memset(frame.cells, '.', sizeof(frame.cells));
    frame.cells[y][x] = '@';
    if (viewer) /* a frame that finds no room is one too many: the next one is newer */
        peer_datagram_send(viewer, &frame, sizeof(frame), &error);
    return G_SOURCE_CONTINUE;
}

static void move(char key)
{
    x += key == 'l' ? 1 : key == 'h' ? -1 : 0;
    y += key == 'j' ? 1 : key == 'k' ? -1 : 0;
    x = CLAMP(x, 0, WIDTH - 1);
    y = CLAMP(y, 0, HEIGHT - 1);
}

static void take_keys(struct peer_stream *stream)
{
    char keys[64];
    bool has_ended;
    size_t n;

    while ((n = peer_stream_read(stream, keys, sizeof(keys), &has_ended)) > 0) {
        for (size_t i = 0; i < n; i++)
            move(keys[i]);
    }
    if (has_ended)
        peer_stream_finish(stream);
}

/* ---- who looks ---- */

static void show(const struct peer_event *event)
{
    struct frame frame;

    if (event->size != sizeof(frame))
        return;
    memcpy(&frame, event->data, sizeof(frame));
    if (shown && GUINT32_FROM_BE(frame.number) <= shown)
        return; /* it was overtaken */
    shown = GUINT32_FROM_BE(frame.number);
    if (isatty(STDOUT_FILENO))
        printf("\033[H\033[J");
    for (int row = 0; row < HEIGHT; row++)
        printf("%.*s\n", WIDTH, frame.cells[row]);
    fflush(stdout);
}

static gboolean on_typed(gint fd, GIOCondition condition, gpointer user)
{
    char keys[64];
    ssize_t n = read(fd, keys, sizeof(keys));

    (void)condition, (void)user;
    if (n <= 0 || memchr(keys, 'q', (size_t)n)) {
        g_main_loop_quit(loop);
        return G_SOURCE_REMOVE;
    }
    if (control)
        peer_stream_write(control, keys, (size_t)n);
    return G_SOURCE_CONTINUE;
}

static void begin_control(struct peer_link *link)
{
    struct peer_error error;

    control = peer_stream_open(link, "control", NULL, &error);
    if (control)
        peer_stream_set_urgency(control, 0);
    g_unix_fd_add(STDIN_FILENO, G_IO_IN | G_IO_HUP, on_typed, NULL);
}

/* ---- both ---- */

static void handle(const struct peer_event *event)
{
    struct peer_error error;

    switch (event->type) {
    case PEER_EVENT_JOINED:
        fprintf(stderr, "ready\n");
        if (whom)
            peer_dial(peer, whom, capabilities, &error);
        break;
    case PEER_EVENT_INCOMING:
        if (viewer)
            peer_link_decline(event->link, "busy");
        else
            peer_link_accept(event->link, NULL, NULL);
        break;
    case PEER_EVENT_LINK_UP:
        fprintf(stderr, "linked\n");
        if (whom)
            begin_control(event->link);
        else
            viewer = event->link;
        break;
    case PEER_EVENT_DATAGRAM:
        show(event);
        break;
    case PEER_EVENT_STREAM:
    case PEER_EVENT_READABLE:
        if (!whom)
            take_keys(event->stream);
        break;
    case PEER_EVENT_STREAM_CLOSED:
        control = NULL;
        break;
    case PEER_EVENT_LINK_DOWN:
        control = NULL;
        viewer = event->link == viewer ? NULL : viewer;
        if (!whom)
            break;
        __attribute__((fallthrough));
    case PEER_EVENT_FAILED:
        fprintf(stderr, "%s\n", event->error.text);
        status = event->error.name[0] != '\0';
        g_main_loop_quit(loop);
        break;
    default:
        break;
    }
}

static gboolean on_events(gint fd, GIOCondition condition, gpointer user)
{
    struct peer_event event;

    (void)fd, (void)condition, (void)user;
    while (peer_next_event(peer, &event))
        handle(&event);
    return G_SOURCE_CONTINUE;
}

int main(int argc, char **argv)
{
    const struct peer_config config = { .size = sizeof(config),
                                        .state_dir = argc > 1 ? argv[1] : NULL,
                                        .capabilities = capabilities,
                                        .allow_loopback = true };
    struct peer_error error;

    whom = argc > 2 ? argv[2] : NULL;
    peer = peer_new(&config, &error);
    if (!peer) {
        fprintf(stderr, "%s\n%s\n", error.text, error.remedy);
        return 1;
    }
    loop = g_main_loop_new(NULL, FALSE);
    g_unix_fd_add(peer_fd(peer), G_IO_IN, on_events, NULL);
    if (!whom)
        g_timeout_add(1000 / PER_SECOND, on_tick, NULL);
    g_main_loop_run(loop);
    peer_free(peer);
    g_main_loop_unref(loop);
    return status;
}
