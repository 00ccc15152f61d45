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

/* Answers the first question when it is let go on, with A, and the next one with B. */
static void play_hanging(struct signer_played *s, int *ret_go)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), go[2];
    uint8_t question[64], answer[VAULT_HEAD + 1] = { [VAULT_HEAD - 1] = 1 };

    snprintf(s->path, sizeof(s->path), "%s/hanging", check_dir());
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", s->path);
    CHECK(bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 1) == 0);
    CHECK(pipe(go) == 0);
    fflush(NULL);
    s->pid = fork();
    if (s->pid == 0) {
        int conn = accept(fd, NULL, NULL);
        close(go[1]);
        (void)!read(go[0], question, 1);
        for (uint8_t what = 'A'; recv(conn, question, VAULT_HEAD + 1, MSG_WAITALL) > 0; what++) {
            answer[VAULT_HEAD] = what;
            (void)!send(conn, answer, sizeof(answer), MSG_NOSIGNAL);
        }
        _exit(0);
    }
    close(go[0]);
    close(fd);
    *ret_go = go[1];
}

/* What was given up is nobody's answer: the next question gets its own. */
TEST(a_late_answer_is_dropped)
{
    struct signer_played hanging;
    int go;
    play_hanging(&hanging, &go);
    _cleanup_(signer_link_freep) struct signer_link *link = ask(&hanging);
    _buf_ answer = { 0 };
    struct err err = { 0 }, why = { 0 };
    bool is_there = false;

    signer_link_turn(link);
    CHECK(!signer_link_is_away(link, &why));
    CHECK(!signer_link_receive(link, true, &answer, &is_there, &err));
    CHECK(is_there && err.code == ERR_BUSY && strstr(err.text, "has not answered"));
    CHECK(signer_link_is_away(link, &why) && why.code == ERR_BUSY);
    CHECK(!signer_link_look(link) && !signer_link_is_there(link));
    CHECK(!signer_link_send(link, VIEW_LIT("?"), &err)); /* not even asked */
    close(go);
    while (!signer_link_look(link))
        usleep(1000);
    CHECK(signer_link_is_there(link) && !signer_link_is_away(link, &why));
    CHECK(signer_link_generation(link) == 1); /* the same connection */
    CHECK(signer_link_send(link, VIEW_LIT("?"), &err));
    CHECK(signer_link_receive(link, true, &answer, &is_there, &err));
    CHECK(is_there && view_eq_text(buf_view(&answer), "B"));
    stop(&hanging);
}
