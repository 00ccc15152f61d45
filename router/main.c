/* SPDX-License-Identifier: Apache-2.0 */
/* warren-router(8): the verbs, and the daemon's life. */
#include "base/ask.h"
#include "base/file.h"
#include "base/notify.h"
#include "base/text.h"
#include "router/edge.h"
#include "router/realms.h"
#include "router/state.h"

#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>

enum { EXIT_USAGE = 2, FAREWELL_MS = 2000 };

static const char usage[] =
    "usage: warren-router init DIR --host HOST:PORT [--listen ADDRESS:PORT]\n"
    "       warren-router accept DIR FILE\n"
    "       warren-router passphrase DIR [--remove] [--passphrase-fd N] [--new-passphrase-fd N]\n"
    "       warren-router --config FILE [--passphrase-fd N]\n"
    "       warren-router --check-config --config FILE [--passphrase-fd N]\n"
    "       warren-router --help | --version\n";

static const char about[] =
    "\n"
    "The rendezvous of a Warren network: peers and den connect to it, it carries their calls and "
    "events.\n"
    "\n"
    "  init DIR        makes the router's keys and router.conf in DIR, and DIR/router.request for "
    "den\n"
    "  accept DIR FILE installs what den answered\n"
    "  passphrase DIR  keeps the router's keys under a passphrase, or another one, or (--remove) "
    "none\n"
    "  --config FILE   runs in the foreground and logs to standard error\n"
    "  --check-config  only reads the configuration and the folder, and says what is wrong\n"
    "\n"
    "Keys of router.conf:\n";

struct arguments {
    const char *config, *host, *listen;
    const char *passphrase_fd, *new_passphrase_fd;
    bool is_check, removes;
    char **verb; /* init DIR, accept DIR FILE */
    int n_verb;
};

static int fail(const struct err *err)
{
    fprintf(stderr, "warren-router: %s\nwarren-router: %s\n", err->text, err_remedy(err));
    return EXIT_FAILURE;
}

static int refuse_usage(const char *why)
{
    fprintf(stderr, "warren-router: %s\n%s", why, usage);
    return EXIT_USAGE;
}

static int show_help(void)
{
    _buf_ keys = { 0 };

    router_config_help(&keys);
    printf("%s%s%s", usage, about, buf_cstr(&keys));
    return EXIT_SUCCESS;
}

/* ---- passphrases ----------------------------------------------------------------------------- */

static bool read_fd(const char *text, int *ret_fd, struct err *err)
{
    uint64_t fd = 0;

    *ret_fd = ASK_NOWHERE;
    if (!text)
        return true;
    if (!text_read_u64(view_text(text), &fd) || fd > INT_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "a descriptor is a number, not \"%.32s\"", text);
    *ret_fd = (int)fd;
    return true;
}

/* That of the keys that are there; none is asked for when they are plain. */
static bool read_passphrase(const struct arguments *a, const char *dir, struct buf *ret,
                            struct err *err)
{
    struct ask ask = { .what = "the router's keys",
                       .option = "--passphrase-fd",
                       .credential = "warren-router.passphrase" };

    if (!read_fd(a->passphrase_fd, &ask.fd, err))
        return false;
    return !dir || !state_is_sealed(dir) || ask_passphrase(&ask, ret, err);
}

static bool read_new_passphrase(const struct arguments *a, struct buf *ret, struct err *err)
{
    struct ask ask = { .what = "the router's keys",
                       .option = "--new-passphrase-fd",
                       .is_new = true };

    return read_fd(a->new_passphrase_fd, &ask.fd, err) &&
           (a->removes || ask_passphrase(&ask, ret, err));
}

static int change_passphrase(const struct arguments *a)
{
    _buf_wipe_ old = { 0 };
    _buf_wipe_ next = { 0 };
    struct err err = { 0 };

    if (a->n_verb != 2 || (a->removes && a->new_passphrase_fd))
        return refuse_usage("passphrase needs a folder, and a new passphrase or --remove");
    if (!read_passphrase(a, a->verb[1], &old, &err) || !read_new_passphrase(a, &next, &err) ||
        !state_change_passphrase(a->verb[1], buf_view(&old), buf_view(&next), &err))
        return fail(&err);
    printf("%s: its keys are %s\n", a->verb[1],
           a->removes ? "plain files now" : "kept under the new passphrase");
    return EXIT_SUCCESS;
}

/* ---- the daemon ------------------------------------------------------------------------------ */

struct daemon {
    struct rpc_loop *loop;
    struct edge *edge;
    struct rpc_timer *farewell, *watchdog;
    uint64_t watchdog_for; /* how often systemd wants to hear of us; 0: not at all */
    const char *path;      /* of router.conf */
    struct router_config *config;
    bool is_stopping;
    uint64_t stop_at; /* everybody was told; 0: not yet */
};

static void on_farewell(void *user)
{
    struct daemon *daemon = user;
    uint64_t now = clock_mono_ms();

    if (!daemon->stop_at && edge_is_drained(daemon->edge))
        daemon->stop_at = now + FAREWELL_MS;
    if (daemon->stop_at && (edge_is_empty(daemon->edge) || now >= daemon->stop_at))
        rpc_loop_stop(daemon->loop);
    else
        rpc_timer_set(daemon->farewell, now + 20);
}

static void on_stop(void *user, _unused_ int signal_number)
{
    struct daemon *daemon = user;

    if (daemon->is_stopping) { /* asked twice: at once */
        rpc_loop_stop(daemon->loop);
        return;
    }
    log_event(LOG_INFO, "stopping", "signal=%d", signal_number);
    notify_say("STOPPING=1\nSTATUS=waiting for calls in flight");
    daemon->is_stopping = true;
    edge_drain(daemon->edge);
    on_farewell(daemon);
}

/* Comes from the loop: it turns. */
static void on_watchdog(void *user)
{
    struct daemon *daemon = user;

    notify_say("WATCHDOG=1");
    rpc_timer_set(daemon->watchdog, clock_mono_ms() + daemon->watchdog_for / 2);
}

static void set_up_log(const struct router_config *config)
{
    enum log_format format = LOG_TEXT;
    enum log_level level = LOG_INFO;

    router_config_log_level(config->log_level, &level);
    log_read_format(config->log_format, &format);
    log_open("warren-router", level);
    log_set_format(format);
}

/* Every line of it. */
static void log_bad_config(const struct buf *all, const struct err *err)
{
    struct view left = buf_view(all);

    if (left.len == 0)
        log_event(LOG_ERROR, "reload_failed", "why=%s", log_quote_text(err->text));
    while (left.len) {
        const uint8_t *end = memchr(left.data, '\n', left.len);
        size_t len = end ? (size_t)(end - left.data) : left.len;
        log_event(LOG_ERROR, "reload_failed", "why=%s", log_quote(view_sub(left, 0, len)));
        left = view_sub(left, len + 1, left.len);
    }
}

static bool reload(struct daemon *daemon)
{
    _cleanup_(router_config_deinit) struct router_config other = { 0 };
    _buf_ all = { 0 };
    struct err err = { 0 };

    if (!router_config_read(daemon->path, &other, &all, &err)) {
        edge_count_failed_reload(daemon->edge);
        log_bad_config(&all, &err);
        return false;
    }
    if (!edge_reload(daemon->edge, &other))
        return false;
    set_up_log(daemon->config);
    return true;
}

static void on_reload(void *user, _unused_ int signal_number)
{
    struct daemon *daemon = user;

    if (daemon->is_stopping)
        return;
    notify_reloading();
    notify_say(reload(daemon) ? "READY=1\nSTATUS=serving"
                              : "READY=1\nSTATUS=serving; the last reload failed: see the log");
}

static bool serve(const struct arguments *a, struct router_config *config, struct err *err)
{
    _buf_wipe_ passphrase = { 0 };
    _cleanup_(rpc_loop_freep) struct rpc_loop *loop = NULL;
    _cleanup_(edge_freep) struct edge *edge = NULL;
    struct daemon daemon = { 0 };

    if (!read_passphrase(a, config->state, &passphrase, err) || !rpc_loop_new(&loop, err))
        return false;
    /* Before it is there: a signal waits for the loop, rather than end a router that just starts. */
    rpc_loop_on_signal(loop, SIGTERM, on_stop, &daemon);
    rpc_loop_on_signal(loop, SIGINT, on_stop, &daemon);
    rpc_loop_on_signal(loop, SIGHUP, on_reload, &daemon);
    if (!edge_new(loop, config, buf_view(&passphrase), &edge, err))
        return false;
    buf_wipe(&passphrase);
    daemon = (struct daemon){ .loop = loop, .edge = edge, .path = a->config, .config = config };
    daemon.farewell = rpc_timer_new(loop, on_farewell, &daemon);
    daemon.watchdog_for = notify_watchdog();
    daemon.watchdog = rpc_timer_new(loop, on_watchdog, &daemon);
    if (daemon.watchdog_for)
        on_watchdog(&daemon);
    notify_say("READY=1\nSTATUS=serving");
    rpc_loop_run(loop);
    log_event(LOG_INFO, "stopped", "connections=%s", edge_is_empty(edge) ? "none" : "some");
    return true;
}

/* ---- checking -------------------------------------------------------------------------------- */

/* A line for `err`, unless it is in `all` already. */
static void add_error(struct buf *all, const struct err *err)
{
    if (!strstr(buf_cstr(all), err->text))
        buf_printf(all, "%s\n", err->text);
}

static bool check_realms(const struct router_config *config, const char *network, struct buf *all,
                         size_t *ret_n)
{
    _cleanup_(realms_freep) struct realms *realms = NULL;
    _cleanup_(netkeys_freep) struct netkeys *netkeys = NULL;
    struct err err = { 0 };

    *ret_n = 1;
    if (!config->realms)
        return true;
    if (!realms_check(config->realms, network, &realms, all, &err) ||
        !state_read_netkeys(config->state, &netkeys, &err) ||
        !netkeys_check_realms(netkeys, realms, all, &err)) {
        add_error(all, &err);
        return false;
    }
    *ret_n = realms->n;
    return true;
}

/* The folder, and what depends on the network that it belongs to. Says what is right on standard
 * output. */
static bool check_folder(const struct router_config *config, struct view passphrase,
                         struct buf *all)
{
    _cleanup_(state_deinit) struct state state = { .passphrase = passphrase };
    char at[CLOCK_TEXT];
    struct err err = { 0 };
    size_t n_realms;

    bool ok = state_check(config->state, clock_wall_ms(), &state, all, &err);

    if (!state.trust) {
        if (config->realms)
            buf_printf(all, "%s: not checked: which network this is, is not known\n",
                       config->realms);
        return false;
    }
    ok &= check_realms(config, rpc_trust_network(state.trust), all, &n_realms);
    if (ok && all->len == 0)
        printf("configuration: ok\nnetwork: %s\nrealms: %zu\ncertificate until: %s\n",
               rpc_trust_network(state.trust), n_realms,
               state.not_after ? clock_text(state.not_after, at) : "expired");
    return ok;
}

static int refuse_config(struct buf *all, const struct err *err)
{
    if (all->len == 0)
        return fail(err);
    fprintf(stderr, "%swarren-router: %s\n", buf_cstr(all),
            err->code ? err_remedy(err) : err_code_remedy(ERR_BAD_CONFIG));
    return EXIT_FAILURE;
}

/* Everything that is wrong, at once. */
static int check_only(const struct arguments *a)
{
    _cleanup_(router_config_deinit) struct router_config config = { 0 };
    _buf_wipe_ passphrase = { 0 };
    _buf_ all = { 0 };
    struct err err = { 0 };
    bool ok = router_config_read(a->config, &config, &all, &err);

    if (!read_passphrase(a, config.state, &passphrase, &err))
        return fail(&err);

    log_open("warren-router", LOG_WARN);
    if (config.state)
        ok &= check_folder(&config, buf_view(&passphrase), &all);
    return ok ? EXIT_SUCCESS : refuse_config(&all, &err);
}

static int run(const struct arguments *a)
{
    _cleanup_(router_config_deinit) struct router_config config = { 0 };
    _buf_ all = { 0 };
    struct err err = { 0 };

    if (a->is_check)
        return check_only(a);
    if (!router_config_read(a->config, &config, &all, &err))
        return refuse_config(&all, &err);
    set_up_log(&config);
    return serve(a, &config, &err) ? EXIT_SUCCESS : fail(&err);
}

/* ---- the verbs ------------------------------------------------------------------------------- */

static int init(const struct arguments *a)
{
    _free_ char *host = NULL, *listen_host = NULL, *same_port = NULL;
    struct err err = { 0 };
    uint16_t port, listen_port;

    if (a->n_verb != 2 || !a->host)
        return refuse_usage("init needs a folder and --host HOST:PORT");
    if (!conf_split_address(view_text(a->host), 0, &host, &port))
        return refuse_usage("--host: expected HOST:PORT or [IPv6]:PORT");
    if (a->listen && !router_config_listen(a->listen, &listen_host, &listen_port))
        return refuse_usage("--listen: expected ADDRESS:PORT, [IPv6]:PORT or *:PORT");
    same_port = mem_format("*:%u", (unsigned)port);
    if (!state_init(a->verb[1], a->host, a->listen ? a->listen : same_port, &err))
        return fail(&err);
    printf("%s/" STATE_REQUEST "\n", a->verb[1]);
    return EXIT_SUCCESS;
}

static int accept_answer(const struct arguments *a)
{
    struct err err = { 0 };

    if (a->n_verb != 3)
        return refuse_usage("accept needs a folder and the file that warren-den wrote");
    if (!state_accept(a->verb[1], a->verb[2], clock_wall_ms(), &err))
        return fail(&err);
    printf("%s: accepted; start it with warren-router --config %s/" STATE_CONF "\n", a->verb[1],
           a->verb[1]);
    return EXIT_SUCCESS;
}

static int act(const struct arguments *a)
{
    const char *verb = a->n_verb ? a->verb[0] : NULL;

    if (verb && strcmp(verb, "init") == 0)
        return init(a);
    if (verb && strcmp(verb, "accept") == 0)
        return accept_answer(a);
    if (verb && strcmp(verb, "passphrase") == 0)
        return change_passphrase(a);
    if (verb)
        return refuse_usage("no such verb");
    return a->config ? run(a) : refuse_usage("what shall it do?");
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' },
        { "check-config", no_argument, NULL, 'k' },
        { "host", required_argument, NULL, 'H' },
        { "listen", required_argument, NULL, 'l' },
        { "passphrase-fd", required_argument, NULL, 'p' },
        { "new-passphrase-fd", required_argument, NULL, 'n' },
        { "remove", no_argument, NULL, 'r' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'v' },
        { 0 },
    };
    struct arguments a = { 0 };
    struct err err = { 0 };
    int option;

    file_hold_standard();
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            a.config = optarg;
            break;
        case 'k':
            a.is_check = true;
            break;
        case 'H':
            a.host = optarg;
            break;
        case 'l':
            a.listen = optarg;
            break;
        case 'p':
            a.passphrase_fd = optarg;
            break;
        case 'n':
            a.new_passphrase_fd = optarg;
            break;
        case 'r':
            a.removes = true;
            break;
        case 'h':
            return show_help();
        case 'v':
            printf("warren-router " WARREN_VERSION "\n");
            return EXIT_SUCCESS;
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    a.verb = argv + optind;
    a.n_verb = argc - optind;
    file_forbid_dumps();
    signal(SIGPIPE, SIG_IGN);
    return key_init(&err) ? act(&a) : fail(&err);
}
