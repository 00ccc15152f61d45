/* SPDX-License-Identifier: Apache-2.0 */
#include "base/own.h"
#include "den/signer_link.h"
#include "tests/check.h"

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LONG = 100 /* bytes of an answer: one each second is ten times what den waits for it */ };

/* Somebody at a socket who answers the first question: at once, or a byte each second. */
struct signer_played {
    char path[96];
    pid_t pid;
};

static void answer(int listener, bool is_slow)
{
    static const uint8_t head[VAULT_HEAD] = { [VAULT_HEAD - 1] = LONG };
    uint8_t question[64], body[LONG] = { 0 };
    int fd = accept(listener, NULL, NULL);

    if (recv(fd, question, sizeof(question), 0) <= 0 ||
        send(fd, head, sizeof(head), MSG_NOSIGNAL) != sizeof(head))
        _exit(1);
    for (size_t n = 0; n < LONG; n += is_slow ? 1 : LONG) {
        if (send(fd, body, is_slow ? 1 : LONG, MSG_NOSIGNAL) < 0)
            _exit(0);
        if (is_slow)
            sleep(1);
    }
    (void)!recv(fd, question, sizeof(question), 0); /* until den hangs up */
    _exit(0);
}

static void play(struct signer_played *s, bool is_slow)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(s->path, sizeof(s->path), "%s/%s", check_dir(), is_slow ? "slow" : "quick");
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", s->path);
    CHECK(bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 1) == 0);
    fflush(NULL);
    s->pid = fork();
    if (s->pid == 0)
        answer(fd, is_slow);
    close(fd);
}

static void stop(struct signer_played *s)
{
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
}

static struct signer_link *ask(const struct signer_played *s)
{
    struct signer_link *link =
        signer_link_new(&(struct signer_place){ .socket = s->path, .dir = "/nowhere" });
    struct err err = { 0 };

    CHECK(signer_link_send(link, VIEW_LIT("?"), &err));
    return link;
}

/* An answer that is there waits for den as long as it likes; one that never gets whole does not hold den up. */
TEST(only_a_whole_answer_is_one)
{
    struct signer_played slow, quick;
    play(&slow, true);
    play(&quick, false);
    _cleanup_(signer_link_freep) struct signer_link *to_slow = ask(&slow), *to_quick = ask(&quick);
    _buf_ answer = { 0 };
    struct err err = { 0 };
    bool is_there = false;

    if (!freopen("/dev/null", "w", stderr)) /* what the link says of it */
        check_failed(__FILE__, __LINE__, "/dev/null");
    CHECK(!signer_link_receive(to_slow, true, &answer, &is_there, &err));
    CHECK(is_there && err.code == ERR_BUSY && answer.len == 0);
    CHECK(!signer_link_is_there(to_slow));

    CHECK(signer_link_look(to_quick));
    err = (struct err){ 0 };
    CHECK(signer_link_receive(to_quick, false, &answer, &is_there, &err));
    CHECK(is_there && answer.len == LONG);
    stop(&slow);
    stop(&quick);
}
