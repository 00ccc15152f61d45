/* SPDX-License-Identifier: Apache-2.0 */
/* `warren tunnel`: ports of this machine whose connections come out at the other one. `warren nc`: standard input and output are
 * one such connection, for ssh's ProxyCommand. */
#include "line.h"
#include "tunnel.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CAP_SIZE = 65 /* 64 bytes and the NUL */ };

struct tunnel {
    struct carry carry; /* first: what it hands back is this */
    char cap[CARRY_LISTENERS][CAP_SIZE];
    const char *caps[CARRY_LISTENERS + 1];
    unsigned local[CARRY_LISTENERS];
    unsigned long n;
    bool is_nc, has_been_up, is_dialling;
};

bool tunnel_capability(const char *host, const char *port, char *to, size_t size)
{
    bool is_local = host[0] == '\0' || strcasecmp(host, "localhost") == 0 ||
                    strcmp(host, "127.0.0.1") == 0 || strcmp(host, "::1") == 0;
    int n = is_local ? snprintf(to, size, "tunnel:%s", port)
                     : snprintf(to, size, "tunnel:%s:%s", host, port);

    for (char *c = to; n > 0 && (size_t)n < size && *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c); /* as capabilities are */
    return n > 0 && (size_t)n < size;
}

bool tunnel_split(char *word, char **ret_host, char **ret_port)
{
    char *colon = strrchr(word, ':');
    unsigned port;

    *ret_host = "";
    *ret_port = word;
    if (colon) {
        *colon = '\0';
        *ret_host = word;
        *ret_port = colon + 1;
    }
    if (**ret_host == '[' && (*ret_host)[strlen(*ret_host) - 1] == ']') {
        (*ret_host)[strlen(*ret_host) - 1] = '\0';
        ++*ret_host;
    } else if (strchr(*ret_host, ':')) {
        return false; /* which colon is before the port? */
    }
    return (!colon || **ret_host != '\0') && line_port(*ret_port, false, &port);
}

static void add_capability(struct tunnel *t)
{
    unsigned long at = 0;

    while (t->caps[at] && strcmp(t->caps[at], t->cap[t->n]) != 0)
        at++;
    t->caps[at] = t->cap[t->n++];
}

/* ---- the link ---- */

static void start(struct tunnel *t, int in, int out, const char *cap, bool owns)
{
    struct line *line = &t->carry.line;
    struct peer_error error;
    struct peer_stream *stream = peer_stream_open(line->link, cap, NULL, &error);

    if (stream) {
        carry_add(&t->carry, pump_new(line->link, stream, in, out, owns));
        return;
    }
    cli_fail(line->cli, line->verb, &error);
    if (owns)
        close(in);
    else
        line_end(line, 1);
}

/* Who waits for a link that could not be made is turned away. */
static void turn_away(const struct carry *carry)
{
    for (unsigned long i = 0; i < carry->n_listeners; i++) {
        int fd;
        while ((fd = accept4(carry->listener[i], NULL, NULL, SOCK_CLOEXEC)) >= 0)
            close(fd);
    }
}

/* A tunnel that stood once stays: the next connection dials again. */
static void on_down(struct tunnel *t)
{
    struct line *line = &t->carry.line;

    if (t->is_nc) {
        line->is_over = t->carry.n_pumps == 0; /* what came still goes out */
        return;
    }
    if (!t->has_been_up)
        return;
    line->is_over = false;
    if (t->is_dialling)
        turn_away(&t->carry);
    t->is_dialling = false;
    t->carry.listens = true;
}

static void on_event(struct carry *carry, const struct peer_event *event)
{
    struct tunnel *t = (struct tunnel *)carry;
    struct line *line = &carry->line;

    if (event->type == PEER_EVENT_LINK_UP && event->link == line->link) {
        carry->listens = t->has_been_up = true;
        t->is_dialling = false;
        if (t->is_nc)
            cli_only_once();
        if (t->is_nc)
            start(t, STDIN_FILENO, STDOUT_FILENO, t->caps[0], false);
    }
    if (event->type == PEER_EVENT_STREAM)
        peer_stream_reset(event->stream, 0); /* only we open them */
    if (event->type == PEER_EVENT_STREAM_CLOSED && event->error.name[0] != '\0')
        cli_say("%s: %s", event->error.name, event->error.text);
    if (event->type == PEER_EVENT_LINK_DOWN && !line->link)
        on_down(t);
}

/* ---- tunnel ---- */

/* With no link a connection makes us dial, and waits in the listener's queue. */
static void on_listener(struct carry *carry, unsigned long i)
{
    struct tunnel *t = (struct tunnel *)carry;
    int fd;

    if (!carry->line.link) {
        carry->listens = false;
        t->is_dialling = true;
        line_dial(&carry->line);
        return;
    }
    if (!carry->listens)
        return;
    fd = accept4(carry->listener[i], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        start(t, fd, fd, t->cap[i], true);
}

/* On loopback alone: who else may come in is not this program's to say. */
static int listen_on(struct tunnel *t, unsigned long i)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_addr = { htonl(INADDR_LOOPBACK) },
                              .sin_port = htons((uint16_t)t->local[i]) };
    socklen_t size = sizeof(at);
    const int yes = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 64) < 0 ||
        getsockname(fd, (struct sockaddr *)&at, &size) < 0) {
        cli_say("warren: tunnel: 127.0.0.1:%u: %s", t->local[i], strerror(errno));
        if (fd >= 0)
            close(fd);
        return 1;
    }
    t->local[i] = ntohs(at.sin_port);
    t->carry.listener[t->carry.n_listeners++] = fd;
    cli_say("127.0.0.1:%u goes to %s of %s", t->local[i], t->cap[i] + strlen("tunnel:"),
            t->carry.line.whom);
    return 0;
}

/* LOCALPORT:HOST:PORT */
static int take_spec(struct tunnel *t, char *spec)
{
    struct line *line = &t->carry.line;
    char whole[160], *host, *port, *colon = strchr(spec, ':');

    snprintf(whole, sizeof(whole), "%s", spec);
    if (t->n == CARRY_LISTENERS)
        return line_usage(line, "more than %d ports", CARRY_LISTENERS);
    if (!colon)
        return line_usage(line, "\"%s\": expected LOCALPORT:HOST:PORT", whole);
    *colon = '\0';
    if (!line_port(spec, true, &t->local[t->n]))
        return line_usage(line, "\"%s\": \"%s\" is no port of this machine", whole, spec);
    if (!tunnel_split(colon + 1, &host, &port) ||
        !tunnel_capability(host, port, t->cap[t->n], CAP_SIZE))
        return line_usage(line, "\"%s\": expected LOCALPORT:HOST:PORT, an IPv6 HOST in brackets",
                          whole);
    add_capability(t);
    return 0;
}

static struct tunnel *tunnel_new(struct cli *cli, const char *verb, const char *usage)
{
    struct tunnel *t = calloc(1, sizeof(*t));

    if (!t)
        abort();
    t->carry.line = (struct line){ .cli = cli, .verb = verb, .usage = usage, .caps = t->caps };
    t->carry.on_event = on_event;
    t->carry.on_listener = on_listener;
    return t;
}

static int tunnel(struct tunnel *t, int argc, char **argv)
{
    struct line *line = &t->carry.line;
    int status = line_words(line, argc, argv);

    if (status == 0 && line->n < 2)
        status = line_usage(line, "expected an ID or a name, and what goes where");
    if (status == 0)
        status = cli_whom(line->cli, line->verb, line->word[0], line->whom);
    for (int i = 1; status == 0 && i < line->n; i++)
        status = take_spec(t, line->word[i]);
    for (unsigned long i = 0; status == 0 && i < t->n; i++)
        status = listen_on(t, i);
    if (status != 0)
        return status;
    return line_open(line) ? carry_run(&t->carry) : line->status;
}

int cli_tunnel(struct cli *cli, int argc, char **argv)
{
    struct tunnel *t = tunnel_new(
        cli, "tunnel", "tunnel ID|NAME LOCALPORT:HOST:PORT... [--path WHICH] [--loopback]");
    int status = tunnel(t, argc, argv);

    free(t);
    return status;
}

enum { TEXT_ID_SIZE = 16 };

/* ---- nc ---- */

static void nc_over(struct carry *carry, const struct pump *pump)
{
    bool is_bad = pump->is_broken || pump->is_failed;

    if (carry->line.link)
        peer_link_close(carry->line.link, "done");
    line_end(&carry->line, is_bad);
}

/* OpenSSH takes a host that is a number for an IPv4 address (inet_aton(3)), and gives it to its ProxyCommand as one: 456000 as 0.6.245.64. Nothing
 * else that nc dials looks so, and no ID begins with 0. False: it is no such address. */
static bool id_of_address(const char *word, char ret_id[TEXT_ID_SIZE])
{
    struct in_addr address;
    unsigned long n;

    if (inet_pton(AF_INET, word, &address) != 1)
        return false;
    n = ntohl(address.s_addr);
    snprintf(ret_id, TEXT_ID_SIZE, "%lu", n);
    return n >= 100000 && n <= 999999999;
}

static int nc(struct tunnel *t, int argc, char **argv)
{
    struct line *line = &t->carry.line;
    char *host, *port, id[TEXT_ID_SIZE];
    int status = line_words(line, argc, argv);

    if (status == 0 && line->n != 2)
        status = line_usage(line, "expected an ID or a name, and a port");
    if (status == 0)
        status = cli_whom(line->cli, line->verb,
                          id_of_address(line->word[0], id) ? id : line->word[0], line->whom);
    if (status != 0)
        return status;
    if (!tunnel_split(line->word[1], &host, &port) ||
        !tunnel_capability(host, port, t->cap[0], CAP_SIZE))
        return line_usage(line, "expected a PORT, or HOST:PORT with an IPv6 HOST in brackets");
    add_capability(t);
    t->is_nc = true;
    t->carry.on_pump_over = nc_over;
    return line_open(line) ? carry_run(&t->carry) : line->status;
}

int cli_nc(struct cli *cli, int argc, char **argv)
{
    struct tunnel *t = tunnel_new(cli, "nc", "nc ID|NAME [HOST:]PORT [--path WHICH] [--loopback]");
    int status = nc(t, argc, argv);

    free(t);
    return status;
}
