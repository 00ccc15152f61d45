/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions where no network is needed. */
#include "base/file.h"
#include "base/key.h"
#include "peer.h"
#include "tests/check.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char *const chat[] = { "chat", NULL };

TEST(a_peer_that_cannot_start_says_why)
{
    static const char *const bad_caps[] = { "chat", "Two Words", NULL };
    static const struct {
        const char *name, *join;
        const char *const *caps;
        size_t size;
        const char *error, *text;
    } cases[] = {
        { "fresh", NULL, chat, sizeof(struct peer_config), "not_joined",
          "there is no state folder " },
        { "fresh", "warren://host/corp.example#" PIN "0", chat, sizeof(struct peer_config),
          "invalid_argument", "join string: " },
        { "fresh", "http://host/", chat, sizeof(struct peer_config), "invalid_argument",
          "join string: " },
        { "fresh", NULL, bad_caps, sizeof(struct peer_config), "invalid_argument",
          "capabilities " },
        { "fresh", NULL, chat, 1, "invalid_argument", "config.size must be " },
        { "", NULL, chat, sizeof(struct peer_config), "invalid_argument",
          "the state folder's name is empty" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _free_ char *dir =
            cases[i].name[0] != '\0' ? file_path(check_dir(), cases[i].name) : mem_text("");
        const struct peer_config config = { .size = cases[i].size,
                                            .state_dir = dir,
                                            .join = cases[i].join,
                                            .capabilities = cases[i].caps };
        struct peer_error error = { 0 };

        CHECK(!peer_new(&config, &error));
        CHECK_STR(error.name, cases[i].error);
        if (strncmp(error.text, cases[i].text, strlen(cases[i].text)) != 0)
            check_failed(__FILE__, __LINE__, "got %s", error.text);
        CHECK(error.remedy[0] != '\0');
        CHECK(!file_exists(dir) || *dir == '\0'); /* nothing was made */
    }
    CHECK(!peer_new(NULL, NULL));
}

static bool next_event(struct peer *peer, struct peer_event *ret_event)
{
    struct pollfd fd = { peer_fd(peer), POLLIN, 0 };

    while (!peer_next_event(peer, ret_event)) {
        if (poll(&fd, 1, 20000) <= 0)
            return false;
    }
    return true;
}

/* Port 1 of loopback: nobody listens there. */
#define NOWHERE "warren://127.0.0.1:1/corp.example#" PIN

TEST(without_a_router_it_keeps_trying_and_says_so)
{
    _free_ char *dir = file_path(check_dir(), "nowhere");
    const struct peer_config config = {
        .size = sizeof(config), .state_dir = dir, .join = NOWHERE, .capabilities = chat
    };
    struct peer_identity identity;
    struct peer_error error;
    struct peer_event event;
    struct peer *peer = peer_new(&config, &error), *second;

    if (!CHECK(peer))
        return;
    for (int i = 0; i < 2; i++) {
        if (!CHECK(next_event(peer, &event)))
            break;
        CHECK_U64(event.type, PEER_EVENT_OFFLINE);
        CHECK_STR(event.error.name, "network_failure");
        CHECK(event.pause_ms > 0);
    }
    CHECK(!peer_identity(peer, &identity));
    CHECK(!peer_dial(peer, "456000", chat, &error));
    CHECK_STR(error.name, "not_joined");
    CHECK(!peer_dial(peer, "45", chat, &error));
    CHECK_STR(error.name, "invalid_argument");
    CHECK(!peer_dial(peer, "456000", NULL, &error));
    CHECK_STR(error.name, "invalid_argument");
    second = peer_new(&config, &error); /* the folder is in use */
    CHECK(!second);
    CHECK_STR(error.name, "busy");
    CHECK_U64(peer_chain_pem(peer, NULL, 0), 0);
    peer_free(peer);

    CHECK(!peer_identity_load(dir, &identity, &error));
    CHECK_STR(error.name, "not_joined");
    CHECK(chmod(dir, 0755) == 0);
    CHECK(!peer_identity_load(dir, &identity, &error));
    CHECK_STR(error.name, "exposed");
    CHECK(!peer_new(&config, &error));
    CHECK_STR(error.name, "exposed");
}

/* In a child of fork(2), with a status for each thing that may be wrong. */
static int try_forked(struct peer *peer, const struct peer_config *config)
{
    struct pollfd fd = { peer_fd(peer), POLLIN, 0 };
    struct peer_error error = { 0 };
    struct peer_event event;
    struct peer *own;

    if (poll(&fd, 1, 0) != 1 || !peer_next_event(peer, &event))
        return 1;
    if (event.type != PEER_EVENT_FAILED || strcmp(event.error.name, "closed") != 0)
        return 2;
    if (poll(&fd, 1, 0) != 0 || peer_next_event(peer, &event))
        return 3;
    if (peer_dial(peer, "456000", chat, &error) || strcmp(error.name, "closed") != 0)
        return 4;
    if (peer_call(peer, "app.echo", NULL, NULL, &error) || peer_examine(peer, &error) ||
        peer_rekey(peer, &error) || peer_name_list(peer, &error) || peer_is_online(peer))
        return 5;
    own = peer_new(config, &error); /* it may have one of its own */
    if (!own || !next_event(own, &event) || event.type != PEER_EVENT_OFFLINE)
        return 6;
    peer_free(own);
    peer_free(peer);
    return 0;
}

TEST(in_a_child_of_fork_it_says_so_and_its_parent_goes_on)
{
    _free_ char *dir = file_path(check_dir(), "forks"), *other = file_path(check_dir(), "child");
    const struct peer_config config = { .size = sizeof(config), .state_dir = dir, .join = NOWHERE };
    const struct peer_config theirs = { .size = sizeof(theirs),
                                        .state_dir = other,
                                        .join = NOWHERE };
    struct peer_error error;
    struct peer_event event;
    struct peer *peer = peer_new(&config, &error);
    int status = -1, ready[2];
    pid_t child;

    if (!CHECK(peer) || !CHECK(pipe(ready) == 0))
        return;
    CHECK(next_event(peer, &event));
    child = fork();
    if (child == 0) {
        char c = (char)try_forked(peer, &theirs);
        _exit(write(ready[1], &c, 1) == 1 && (close(ready[1]), pause()) ? 0 : 1);
    }
    close(ready[1]);
    char said = -1;
    CHECK(read(ready[0], &said, 1) == 1);
    CHECK_U64((uint64_t)said, 0);
    CHECK(next_event(peer, &event));
    CHECK_U64(event.type, PEER_EVENT_OFFLINE);
    peer_free(peer);
    peer = peer_new(&config, &error); /* while the child lives */
    CHECK(peer);
    peer_free(peer);
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);
    close(ready[0]);
}

TEST(a_joined_folder_refuses_another_network)
{
    _free_ char *dir = file_path(check_dir(), "joined"), *network = file_path(dir, "network");
    const struct peer_config config = { .size = sizeof(config), .state_dir = dir, .join = NOWHERE };
    struct peer_error error;
    struct err err;

    CHECK_OK(file_private_dir(dir, &err), err);
    CHECK_OK(file_write(network, VIEW_LIT("warren://host/other.example#" PIN "\n"), 0600, &err),
             err);
    CHECK(!peer_new(&config, &error));
    CHECK_STR(error.name, "invalid_argument");
    CHECK_STR(error.text,
              "this state folder has joined other.example; use another one for corp.example");
}

TEST(freeing_nothing_is_fine_and_the_version_is_known)
{
    peer_free(NULL);
    CHECK_STR(peer_version(), WARREN_VERSION);
}
