/* SPDX-License-Identifier: Apache-2.0 */
/* `warren export`, `import` and `known`: what needs no connection. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { PASSPHRASE_MAX = 1025, INTERRUPT = 3 };

/* ---- passphrases --------------------------------------------------------------------------------------- */

/* One byte at a time: what follows the line is not ours. */
static bool read_line(int fd, char *to, size_t size)
{
    size_t used = 0;
    char c = 0;
    ssize_t n;

    for (;;) {
        n = read(fd, &c, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || c == '\n')
            break;
        if (c == INTERRUPT || used + 1 >= size)
            return false;
        to[used++] = c;
    }
    to[used] = '\0';
    explicit_bzero(&c, sizeof(c));
    return n >= 0;
}

/* Neither echo nor signals, so that nothing can leave the terminal mute behind: control-C ends the line instead. */
static bool prompt(int tty, const char *text, char *to, size_t size)
{
    struct termios before, quiet;
    bool ok;

    if (tcgetattr(tty, &before) != 0)
        return false;
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL | ISIG);
    quiet.c_cc[VEOL] = INTERRUPT;
    if (tcsetattr(tty, TCSAFLUSH, &quiet) != 0)
        return false;
    dprintf(tty, "%s", text);
    ok = read_line(tty, to, size);
    tcsetattr(tty, TCSAFLUSH, &before);
    dprintf(tty, "\n");
    return ok;
}

static const char give_fd[] =
    "give it with --passphrase-fd N, for example: --passphrase-fd 3 3< FILE";

static bool ask_person(bool is_new, char *to, size_t size)
{
    char again[PASSPHRASE_MAX] = "";
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    bool ok;

    if (tty < 0) {
        cli_put_cause("locked", give_fd, "there is no terminal to ask for the passphrase");
        fprintf(stderr, "warren: there is no terminal to ask for the passphrase\nwhat to do: %s\n",
                give_fd);
        return false;
    }
    ok = prompt(tty, is_new ? "New passphrase: " : "Passphrase: ", to, size);
    if (ok && is_new && *to != '\0') {
        ok = prompt(tty, "The same again: ", again, sizeof(again)) && strcmp(to, again) == 0;
        if (!ok)
            cli_misuse("type the same twice", "the two passphrases differ");
    }
    explicit_bzero(again, sizeof(again));
    close(tty);
    return ok;
}

bool cli_passphrase(const char *fd, bool is_new, char *to, size_t size)
{
    char *end = NULL;
    long number = fd ? strtol(fd, &end, 10) : -1;
    bool ok;

    if (fd && (end == fd || *end != '\0' || number < 0 || number > 65535)) {
        cli_misuse(give_fd, "--passphrase-fd: expected the number of an open file");
        return false;
    }
    ok = fd ? read_line((int)number, to, size) : ask_person(is_new, to, size);
    if (!ok && fd)
        cli_misuse(give_fd, "--passphrase-fd: could not be read, or longer than 1024 bytes");
    if (ok && *to == '\0') {
        cli_misuse(give_fd, "the passphrase is empty");
        return false;
    }
    return ok;
}

bool cli_ask(const char *question)
{
    char answer[16] = "";
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    bool ok;

    if (tty < 0)
        return false;
    dprintf(tty, "%s [y/N] ", question);
    ok = read_line(tty, answer, sizeof(answer)) &&
         (strcmp(answer, "y") == 0 || strcmp(answer, "yes") == 0);
    close(tty);
    return ok;
}

/* ---- export, import ------------------------------------------------------------------------------------- */

static int move(const struct cli *cli, const char *what, bool is_export)
{
    char passphrase[PASSPHRASE_MAX] = "";
    struct peer_error error;
    bool ok;

    if (!cli->argument)
        return cli_misuse("usage: warren export|import FILE [--passphrase-fd N]",
                          "%s: a file is missing", what);
    if (!cli_passphrase(cli->passphrase_fd, is_export, passphrase, sizeof(passphrase))) {
        explicit_bzero(passphrase, sizeof(passphrase));
        return 2;
    }
    ok = is_export ? peer_move_out(cli->state_dir, cli->argument, passphrase, &error)
                   : peer_move_in(cli->state_dir, cli->argument, passphrase, &error);
    explicit_bzero(passphrase, sizeof(passphrase));
    return ok ? 0 : cli_fail(cli, what, &error);
}

int cli_export(const struct cli *cli)
{
    int status = move(cli, "export", true);

    if (status == 0)
        cli_say("%s holds this machine's identity. It is not used here any more: import the file "
                "on the "
                "other machine, then delete it",
                cli->argument);
    return status;
}

int cli_import(const struct cli *cli)
{
    struct peer_identity own;
    struct peer_error error;
    int status = move(cli, "import", false);

    if (status != 0)
        return status;
    if (!peer_identity_load(cli->state_dir, &own, &error))
        return cli_fail(cli, "import", &error);
    cli_say("this machine has the identity now; delete the file");
    cli_print_identity(&own, stdout);
    return 0;
}

/* ---- known ------------------------------------------------------------------------------------------------ */

int cli_known(const struct cli *cli)
{
    char before[65], now[65], id[24];
    struct peer_error error;

    if (!cli->argument || strcmp(cli->argument, "accept") != 0 || !cli->more[0] || cli->more[1])
        return cli_misuse("usage: warren known accept ID [--yes]", "known: expected accept ID");
    if (!peer_known_offered(cli->state_dir, cli->more[0], before, now, &error))
        return cli_fail(cli, "known", &error);
    cli_say("%s had the key with the fingerprint\n  %s\nand came with\n  %s",
            cli_show_id(cli->more[0], id), before, now);
    if (!cli->yes && !cli_ask("Did its owner confirm the new one?")) {
        cli_say("nothing was changed");
        return 1;
    }
    if (!peer_known_accept(cli->state_dir, cli->more[0], now, &error))
        return cli_fail(cli, "known", &error);
    cli_say("taken");
    return 0;
}
