/* SPDX-License-Identifier: Apache-2.0 */
#include "den/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

enum { INTERRUPT = 3 /* control-C, as the terminal hands it over when it makes no signal of it */ };

/* One byte at a time: what follows the line is not ours. */
static bool read_line(int fd, struct buf *line, struct err *err)
{
    uint8_t c;

    buf_grow(line, PASSPHRASE_MAX + 1); /* room at once: growing would leave copies behind */
    buf_clear(line);
    for (;;) {
        ssize_t n = read(fd, &c, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "reading the passphrase");
        if (n == 0 || c == '\n')
            break;
        if (c == INTERRUPT)
            return err_set(err, ERR_CANCELED, "interrupted");
        if (line->len == PASSPHRASE_MAX)
            return err_set(err, ERR_INVALID_ARGUMENT, "the passphrase is longer than %d bytes",
                           PASSPHRASE_MAX);
        buf_put_u8(line, c);
    }
    mem_wipe(&c, sizeof(c));
    return true;
}

/* Neither echo nor signals, so that nothing can leave the terminal mute behind: control-C ends the line instead. */
static bool ask(int tty, const char *prompt, struct buf *line, struct err *err)
{
    struct termios before, quiet;
    bool ok;

    if (tcgetattr(tty, &before) != 0)
        return err_errno(err, "the terminal");
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL | ISIG);
    quiet.c_cc[VEOL] = INTERRUPT;
    dprintf(tty, "%s", prompt);
    if (tcsetattr(tty, TCSAFLUSH, &quiet) != 0)
        return err_errno(err, "the terminal");
    ok = read_line(tty, line, err);
    tcsetattr(tty, TCSAFLUSH, &before);
    dprintf(tty, "\n");
    return ok;
}

static bool ask_person(int tty, bool is_new, struct buf *line, struct err *err)
{
    _buf_wipe_ again = { 0 };

    if (!ask(tty, is_new ? "New passphrase for the root key: " : "Passphrase of the root key: ",
             line, err))
        return false;
    if (!is_new || line->len == 0)
        return true;
    if (!ask(tty, "The same again: ", &again, err))
        return false;
    return view_eq_secret(buf_view(line), buf_view(&again)) ||
           err_set(err, ERR_INVALID_ARGUMENT, "the two passphrases differ");
}

bool passphrase_read(int fd, bool is_new, struct buf *ret_passphrase, struct err *err)
{
    _buf_wipe_ line = { 0 };
    bool ok;

    if (fd == PASSPHRASE_PROMPT) {
        int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
        if (tty < 0)
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "no terminal to ask for the root key's passphrase: give it with "
                           "--root-passphrase-fd N, for example: --root-passphrase-fd 3 3< FILE");
        ok = ask_person(tty, is_new, &line, err);
        close(tty);
    } else {
        ok = read_line(fd, &line, err);
    }
    if (!ok)
        return false;
    if (line.len == 0)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "the root key's passphrase is empty: whoever copies root.key would own "
                       "the network; choose one and keep it apart from the key");
    *ret_passphrase = line;
    line = (struct buf){ 0 };
    return true;
}
