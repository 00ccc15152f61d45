/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ask.h"

#include "base/file.h"
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

enum { INTERRUPT = 3 /* control-C, as the terminal hands it over when it makes no signal of it */ };

static void close_fd(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

/* One byte at a time: what follows the line is not ours. */
static bool read_line(int fd, struct buf *line, struct err *err)
{
    uint8_t c;

    buf_grow(line, SECRET_PASSPHRASE + 1); /* room at once: growing would leave copies behind */
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
        if (line->len == SECRET_PASSPHRASE)
            return err_set(err, ERR_INVALID_ARGUMENT, "the passphrase is longer than %d bytes",
                           SECRET_PASSPHRASE);
        buf_put_u8(line, c);
    }
    mem_wipe(&c, sizeof(c));
    return true;
}

/* Neither echo nor signals, so that nothing can leave the terminal mute behind: control-C ends the line instead. What was
 * typed before the prompt is no answer to it: it is flushed first. */
static bool prompt(int tty, const char *text, struct buf *line, struct err *err)
{
    struct termios before, quiet;
    bool ok;

    if (tcgetattr(tty, &before) != 0)
        return err_errno(err, "the terminal");
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL | ISIG);
    quiet.c_cc[VEOL] = INTERRUPT;
    if (tcsetattr(tty, TCSAFLUSH, &quiet) != 0)
        return err_errno(err, "the terminal");
    dprintf(tty, "%s", text);
    ok = read_line(tty, line, err);
    tcsetattr(tty, TCSAFLUSH, &before);
    dprintf(tty, "\n");
    return ok;
}

static bool ask_person(const struct ask *ask, struct buf *line, struct err *err)
{
    _cleanup_(close_fd) int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    _free_ char *text = mem_format(ask->is_pin   ? "PIN of %s: "
                                   : ask->is_new ? "New passphrase for %s: "
                                                 : "Passphrase of %s: ",
                                   ask->what);
    _buf_wipe_ again = { 0 };

    if (tty < 0) {
        err_set(err, ERR_INVALID_ARGUMENT,
                "no terminal to ask for the %s of %s: give it with %s N, for example: %s "
                "3 3< FILE",
                ask->is_pin ? "PIN" : "passphrase", ask->what, ask->option, ask->option);
        return err_advise(err, "run it at a terminal, or with that option");
    }
    if (!prompt(tty, text, line, err))
        return false;
    if (!ask->is_new || line->len == 0)
        return true;
    if (!secret_check_new(buf_view(line), ask->what, err)) /* before it is typed again */
        return false;
    if (!prompt(tty, "The same again: ", &again, err))
        return false;
    return view_eq_secret(buf_view(line), buf_view(&again)) ||
           err_set(err, ERR_INVALID_ARGUMENT, "the two passphrases differ");
}

/* systemd gives the folder to the service alone. */
static bool open_credential(const char *name, int *ret_fd, struct err *err)
{
    const char *folder = name ? secure_getenv("CREDENTIALS_DIRECTORY") : NULL;
    _free_ char *path = folder ? file_path(folder, name) : NULL;

    *ret_fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    return *ret_fd >= 0 || !path || errno == ENOENT || err_errno(err, "%s", path);
}

bool ask_passphrase(const struct ask *ask, struct buf *ret_passphrase, struct err *err)
{
    _cleanup_(close_fd) int credential = -1;
    _buf_wipe_ line = { 0 };
    int fd = ask->fd;

    if (fd == ASK_NOWHERE) {
        if (!open_credential(ask->credential, &credential, err))
            return false;
        fd = credential;
    }
    if (!(fd >= 0 ? read_line(fd, &line, err) : ask_person(ask, &line, err)))
        return false;
    if (line.len == 0 && !ask->is_pin)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s: the passphrase is empty", ask->what);
    if (ask->is_new && !secret_check_new(buf_view(&line), ask->what, err))
        return false;
    *ret_passphrase = line;
    line = (struct buf){ 0 };
    return true;
}
