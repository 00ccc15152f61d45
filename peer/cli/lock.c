/* SPDX-License-Identifier: Apache-2.0 */
/* An identity key under a passphrase: opening it, and `warren passphrase`. */
#include "cli.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PASSPHRASE_MAX = 1025 };

static char
    given[PASSPHRASE_MAX]; /* for the case that the peer is made anew; "": none was needed */

/* systemd's LoadCredential=warren.passphrase:FILE; -1: there is none. */
static int open_credential(void)
{
    const char *folder = secure_getenv("CREDENTIALS_DIRECTORY");
    char path[1024];

    if (!folder ||
        snprintf(path, sizeof(path), "%s/warren.passphrase", folder) >= (int)sizeof(path))
        return -1;
    return open(path, O_RDONLY | O_CLOEXEC);
}

static bool read_passphrase(const struct cli *cli, char to[PASSPHRASE_MAX])
{
    int credential = cli->passphrase_fd ? -1 : open_credential();
    char number[16];
    bool ok;

    snprintf(number, sizeof(number), "%d", credential);
    ok = cli_passphrase(credential >= 0 ? number : cli->passphrase_fd, false, to, PASSPHRASE_MAX);
    if (credential >= 0)
        close(credential);
    return ok;
}

/* Asked for only when the key needs it; given, it is for a key that is made, too. */
struct peer *cli_open(const struct cli *cli, const char *what, struct peer_config *config)
{
    char passphrase[PASSPHRASE_MAX] = "";
    struct peer_error error = { 0 };
    struct peer *peer = NULL;
    bool is_read = true;

    if (!cli->passphrase_fd && given[0] == '\0')
        peer = peer_new(config, &error);
    if (!peer && (cli->passphrase_fd || given[0] != '\0' || strcmp(error.name, "locked") == 0)) {
        if (given[0] != '\0')
            memcpy(passphrase, given, sizeof(passphrase));
        else
            is_read = read_passphrase(cli, passphrase);
        config->passphrase = passphrase;
        peer = is_read ? peer_new(config, &error) : NULL;
        config->passphrase = NULL;
        if (peer)
            memcpy(given, passphrase, sizeof(given));
        explicit_bzero(passphrase, sizeof(passphrase));
    }
    if (!peer && is_read)
        cli_fail(cli, what, &error);
    if (!peer && is_read && strcmp(error.name, "busy") == 0)
        cli_say("one program at a time uses a state folder: give this one another with --state, "
                "joined with an ID of its own");
    return peer;
}

void cli_forget_passphrase(void)
{
    explicit_bzero(given, sizeof(given));
}

/* ---- warren passphrase ---------------------------------------------------------------------------------- */

struct passphrases {
    char old[PASSPHRASE_MAX], next[PASSPHRASE_MAX];
};

/* Whether it has one shows when it is opened without. */
static bool is_locked(const struct cli *cli, struct peer_error *error)
{
    return !peer_passphrase(cli->state_dir, NULL, NULL, error) &&
           strcmp(error->name, "locked") == 0;
}

static int change(const struct cli *cli, struct passphrases *p)
{
    struct peer_error error = { 0 };
    bool was_locked = is_locked(cli, &error);

    if (!was_locked && error.name[0] != '\0')
        return cli_fail(cli, "passphrase", &error);
    if ((was_locked && !read_passphrase(cli, p->old)) ||
        (!cli->remove && !cli_passphrase(cli->new_passphrase_fd, true, p->next, sizeof(p->next))))
        return 1;
    if (!peer_passphrase(cli->state_dir, was_locked ? p->old : NULL, cli->remove ? NULL : p->next,
                         &error))
        return cli_fail(cli, "passphrase", &error);
    cli_say(cli->remove ? "the identity key is a plain file now"
                        : "the identity key is kept under the new passphrase");
    return 0;
}

int cli_change_passphrase(const struct cli *cli)
{
    struct passphrases p = { "", "" };
    int status;

    if (cli->remove && cli->new_passphrase_fd)
        return cli_misuse("give one of the two",
                          "passphrase: --remove and --new-passphrase-fd are both given");
    status = change(cli, &p);
    explicit_bzero(&p, sizeof(p));
    return status;
}
