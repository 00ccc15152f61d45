/* SPDX-License-Identifier: Apache-2.0 */
/* warren-den-signer: the process that has the authority's keys. warren-den-signer(8). */
#include "base/clock.h"
#include "base/conf.h"
#include "base/crew.h"
#include "base/file.h"
#include "base/listen_fds.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/text.h"
#include "den/args.h"
#include "den/keys.h"
#include "vault/sandbox.h"
#include "vault/serve.h"

#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { DONE = 0, FAILED = 1, MISUSED = 2 };

static int fail(const struct err *err)
{
    fprintf(stderr, "warren-den-signer: %s\n  %s\n", err->text, err_remedy(err));
    return FAILED;
}

static int misuse(const struct err *err)
{
    fprintf(stderr, "warren-den-signer: %s\n  `warren-den-signer help` shows how it is used\n",
            err->text);
    return MISUSED;
}

/* ---- where it answers ----------------------------------------------------------------------------------- */

struct words { /* of `run` */
    const char *folder, *fd, *socket, *peer, *passphrase_fd, *pin_fd, *log_format;
};

static bool read_peer(const char *name, uid_t *ret_uid, struct err *err)
{
    const struct passwd *pw = getpwnam(name);
    uint64_t n;

    if (pw)
        *ret_uid = pw->pw_uid;
    else if (text_read_u64(view_text(name), &n) && n < UINT32_MAX)
        *ret_uid = (uid_t)n;
    else
        return err_set(err, ERR_INVALID_ARGUMENT, "--peer: there is no user \"%.64s\"", name);
    return true;
}

/* Anybody may connect to the file; who may speak is asked of the kernel. */
static bool listen_at(const char *path, int *ret_fd, struct err *err)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    mode_t before = umask(0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok;

    if (strlen(path) >= sizeof(at.sun_path))
        return err_set(err, ERR_INVALID_ARGUMENT, "--socket: %s is too long", path);
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    unlink(path);
    ok = fd >= 0 && bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 4) == 0;
    umask(before);
    *ret_fd = fd;
    return ok || err_errno(err, "%s", path);
}

static bool take_listener(const struct words *words, struct vault_place *place, struct err *err)
{
    int fds[LISTEN_FDS_MAX];
    size_t n = 0;

    if (!listen_fds_take(fds, &n, err))
        return false;
    if (n == 1) {
        place->listen_fd = fds[0];
        return true;
    }
    if (!words->socket)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "expected --socket PATH, or one socket from systemd, or --fd N");
    return listen_at(words->socket, &place->listen_fd, err);
}

static bool read_place(const struct words *words, struct vault_place *place, struct err *err)
{
    uint64_t fd;

    *place = (struct vault_place){ .listen_fd = -1, .conn_fd = -1 };
    if (words->fd) {
        if (!text_read_u64(view_text(words->fd), &fd) || fd > 65535)
            return err_set(err, ERR_INVALID_ARGUMENT, "--fd: expected the number of an open file");
        place->conn_fd = (int)fd;
        return fcntl(place->conn_fd, F_SETFD, FD_CLOEXEC) == 0 ||
               err_errno(err, "--fd %d", (int)fd);
    }
    if (!words->peer)
        return err_set(err, ERR_INVALID_ARGUMENT, "--peer USER is missing: whose den may ask");
    return read_peer(words->peer, &place->peer, err);
}

/* After the book is ours: the socket of a signer that runs stays where it is. */
static bool open_place(const struct words *words, struct vault_place *place, struct err *err)
{
    return place->conn_fd >= 0 || take_listener(words, place, err);
}

/* ---- run --------------------------------------------------------------------------------------------------- */

#ifdef SIGNER_TRIAL
/* In the tests' own build: something it has no business with, on SIGUSR1. */
static void misbehave(int signal_number)
{
    (void)signal_number;
    if (socket(AF_INET, SOCK_STREAM, 0) >= 0)
        _exit(77);
    _exit(78);
}
#endif

/* What a library opens the first time that it is used, it opens now. */
static bool warm_up(struct err *err)
{
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;
    _buf_ csr = { 0 };
    char text[CLOCK_TEXT];
    uint8_t some[8];

    clock_text(clock_wall_ms(), text);
    random_bytes(some, sizeof(some));
    return pki_key_new(PKI_P256, &key, err) && pki_csr_new(key, &csr, err);
}

static bool open_vault(const struct words *words, struct vault **ret_vault, struct err *err)
{
    struct vault_secrets secrets = { .login.care = TOKEN_UNATTENDED };
    _buf_wipe_ passphrase = { 0 };
    _buf_wipe_ pin = { 0 };

    if (!keys_ask(words->folder, words->passphrase_fd, &passphrase, err) ||
        !keys_ask_pin(words->folder, words->pin_fd, &pin, err))
        return false;
    secrets.passphrase = buf_view(&passphrase);
    secrets.login.pin = buf_view(&pin);
    return vault_unlock(words->folder, VAULT_ASKED_BY_DEN, &secrets, ret_vault, err);
}

static bool run(const struct words *words, struct err *err)
{
    _cleanup_(vault_freep) struct vault *vault = NULL;
    bool is_guarded = pki_guard_keys();
    struct vault_place place;
    _buf_ report = { 0 };

    signal(SIGPIPE,
           SIG_IGN); /* what a token's library speaks to may be gone, or who reads the log */
    if (!read_place(words, &place, err) || !open_vault(words, &vault, err) ||
        !open_place(words, &place, err) || !warm_up(err))
        return false;
    if (!words->fd) /* else den speaks to systemd */
        notify_say("READY=1\nSTATUS=signing");
#ifdef SIGNER_TRIAL
    signal(SIGUSR1, misbehave);
#endif
    if (!vault_sandbox_enter(place.listen_fd >= 0, vault_token_paths(vault), &report, err))
        return false;
    buf_printf(&report, " keys=%s", is_guarded ? "locked" : "not_locked(see_ulimit_-l)");
    vault_set_report(vault, buf_cstr(&report));
    vault_set_helpers(vault, crew_spare(VAULT_MAX_HELPERS));
    log_event(is_guarded ? LOG_INFO : LOG_WARN, "signer.sandbox", "%s", buf_cstr(&report));
    return vault_serve(vault, &place) ||
           err_set(err, ERR_SYSTEM, "what has to be written before it is signed was not written");
}

static int verb_run(int argc, char **argv)
{
    struct words words = { 0 };
    const struct args_option options[] = {
        { "folder", &words.folder, true, NULL },
        { "fd", &words.fd, false, NULL },
        { "socket", &words.socket, false, NULL },
        { "peer", &words.peer, false, NULL },
        { "passphrase-fd", &words.passphrase_fd, false, NULL },
        { "pin-fd", &words.pin_fd, false, NULL },
        { "log-format", &words.log_format, false, NULL },
    };
    enum log_format format;
    struct err err = { 0 };

    if (!args_read(argc, argv, options, N_ELEMENTS(options), NULL, NULL, 0, &err))
        return misuse(&err);
    log_open("warren-den-signer", LOG_INFO);
    if (words.log_format && !log_read_format(words.log_format, &format)) {
        err_set(&err, ERR_INVALID_ARGUMENT, "--log-format: expected text or json");
        return misuse(&err);
    }
    if (words.log_format)
        log_set_format(format);
    if (run(&words, &err))
        return DONE;
    return err.code == ERR_INVALID_ARGUMENT ? misuse(&err) : fail(&err);
}

/* ---- allow --------------------------------------------------------------------------------------------------- */

static int verb_allow(int argc, char **argv)
{
    static const char *const alone_names[] = { "ID", "TOKEN" };
    const char *folder = NULL, *expires = "1d", *alone[2] = { 0 };
    const struct args_option options[] = { { "folder", &folder, true, NULL },
                                           { "expires", &expires, false, NULL } };
    uint8_t token[KEY_SIZE];
    char id[TEXT_ID], until[CLOCK_TEXT];
    struct err err = { 0 };
    uint64_t life, at;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), alone_names, alone, 2, &err))
        return misuse(&err);
    if (!conf_duration(view_text(expires), &life) || life == 0) {
        err_set(&err, ERR_INVALID_ARGUMENT, "--expires: expected a duration such as 1d");
        return misuse(&err);
    }
    if (!text_read_id(alone[0], id) || !text_read_hex(view_text(alone[1]), token, sizeof(token))) {
        err_set(&err, ERR_INVALID_ARGUMENT,
                "expected an ID and the 64 digits that `warren-den peer re-enrol` printed");
        return misuse(&err);
    }
    at = clock_wall_ms() + life;
    if (!vault_order_add(folder, id, VIEW_ARR(token), at, &err))
        return fail(&err);
    printf("%s may get a new key with that token until %s\n", id, clock_text(at, until));
    return DONE;
}

static int verb_disallow(int argc, char **argv)
{
    static const char *const alone_names[] = { "TOKEN" };
    const char *folder = NULL, *typed = NULL;
    const struct args_option options[] = { { "folder", &folder, true, NULL } };
    uint8_t token[KEY_SIZE];
    struct err err = { 0 };

    if (!args_read(argc, argv, options, N_ELEMENTS(options), alone_names, &typed, 1, &err))
        return misuse(&err);
    if (!text_read_hex(view_text(typed), token, sizeof(token))) {
        err_set(&err, ERR_INVALID_ARGUMENT,
                "expected the 64 digits that `warren-den-signer allow` was given");
        return misuse(&err);
    }
    if (!vault_order_end(folder, VIEW_ARR(token), &err))
        return fail(&err);
    printf("no ID gets a new key with that token any more\n");
    return DONE;
}

static int verb_allow_router(int argc, char **argv)
{
    static const char *const alone_names[] = { "KEY" };
    const char *folder = NULL, *key = NULL;
    const struct args_option options[] = { { "folder", &folder, true, NULL } };
    uint8_t spki[HASH_SIZE];
    struct err err = { 0 };

    if (!args_read(argc, argv, options, N_ELEMENTS(options), alone_names, &key, 1, &err))
        return misuse(&err);
    if (!text_read_hex(view_text(key), spki, sizeof(spki))) {
        err_set(&err, ERR_INVALID_ARGUMENT,
                "expected the 64 digits that `warren-den router add` printed");
        return misuse(&err);
    }
    if (!vault_order_add_router(folder, VIEW_ARR(spki), clock_wall_ms() + DAY_MS, &err))
        return fail(&err);
    printf("a router with that key may be taken in, within a day\n");
    return DONE;
}

static int verb_version(_unused_ int argc, _unused_ char **argv)
{
    printf("warren-den-signer " WARREN_VERSION "\n");
    return DONE;
}

static int verb_help(int argc, char **argv);

static const struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *words, *help;
} verbs[] = {
    { "run", verb_run,
      "--folder DIR (--socket PATH --peer USER | --fd N) [--passphrase-fd N] [--pin-fd N]"
      " [--log-format text|json]",
      "signs what that user's warren-den asks for, if its own book agrees" },
    { "allow", verb_allow, "ID TOKEN --folder DIR [--expires DURATION]",
      "the operator's order: whoever has that token may give this ID a new key" },
    { "disallow", verb_disallow, "TOKEN --folder DIR", "takes that order back" },
    { "allow-router", verb_allow_router, "KEY --folder DIR",
      "the operator's order: that TLS key (SHA-256 of its SPKI) may have the router's name" },
    { "help", verb_help, "", "this" },
    { "--help", verb_help, NULL, NULL },
    { "version", verb_version, "", "prints the version" },
    { "--version", verb_version, NULL, NULL },
};

static int verb_help(_unused_ int argc, _unused_ char **argv)
{
    printf("warren-den-signer: holds the keys of a Warren network's authority\n\n");
    for (size_t i = 0; i < N_ELEMENTS(verbs); i++)
        if (verbs[i].help)
            printf("  warren-den-signer %s%s%s\n      %s\n", verbs[i].name,
                   *verbs[i].words ? " " : "", verbs[i].words, verbs[i].help);
    return DONE;
}

int main(int argc, char **argv)
{
    struct err err = { 0 };

    file_hold_standard();
    file_forbid_dumps();
    umask(077);
    if (!key_init(&err))
        return fail(&err);
    for (size_t i = 0; argc > 1 && i < N_ELEMENTS(verbs); i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 2, argv + 2);
    err_set(&err, ERR_INVALID_ARGUMENT, "expected a verb, found \"%.64s\"",
            argc < 2 ? "" : argv[1]);
    return misuse(&err);
}
