/* SPDX-License-Identifier: Apache-2.0 */
/* Getting online: what is said on the way, and when somebody who dials is told rather than kept waiting. */
#include "cli.h"

#include <string.h>
#include <time.h>

unsigned long long cli_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (unsigned long long)t.tv_sec * 1000 + (unsigned long long)t.tv_nsec / 1000000;
}

void cli_ready_online(struct cli_ready_wait *wait)
{
    wait->is_online = true;
    if (wait->dials && !wait->has_joined && !wait->since)
        wait->since = cli_now();
    cli_say("online");
}

void cli_ready_joined(struct cli_ready_wait *wait)
{
    wait->has_joined = true;
    wait->since = 0;
}

/* The router is there and den is not: no call can be made. A router that is not there yet may come, unless the reason is
 * one for people. */
static bool is_final(const struct cli_ready_wait *wait, const struct peer_error *error, bool is_up)
{
    if (!wait->dials)
        return false;
    if (wait->is_online)
        return strcmp(error->name, "den_away") == 0 && !wait->has_joined;
    return cli_is_for_people(error) && !is_up;
}

bool cli_ready_offline(struct cli_ready_wait *wait, const struct peer *peer,
                       const struct peer_event *event, bool is_up)
{
    const bool is_there = peer_is_online(peer);
    char when[CLI_WHEN];

    if (is_final(wait, &event->error, is_up))
        return false;
    if (is_there || strcmp(event->error.name, "timeout") == 0)
        wait->last = event->error; /* what is missing comes from den; a link that stands goes on */
    if (!is_there) /* the time goes on: who is cut off again and again is not made ready either */
        wait->is_online = false;
    cli_say("%s: %s; trying again %s", is_there ? "not ready" : "offline", event->error.text,
            cli_when(event->pause_ms, when));
    return true;
}

int cli_ready_left(const struct cli_ready_wait *wait)
{
    unsigned long long now = cli_now();

    if (!wait->since)
        return -1;
    return now - wait->since >= CLI_READY_MS ? 0 : (int)(wait->since + CLI_READY_MS - now);
}

unsigned long long cli_ready_without_den(const struct peer_event *event, unsigned long long began)
{
    if (event->type != PEER_EVENT_OFFLINE ||
        (strcmp(event->error.name, "den_away") != 0 && strcmp(event->error.name, "busy") != 0))
        return 0;
    return began + CLI_WITHOUT_DEN_MS;
}

int cli_ready_over(const struct cli *cli, const char *what, const struct cli_ready_wait *wait)
{
    struct peer_error error = wait->last;

    if (error.name[0] == '\0') {
        snprintf(error.name, sizeof(error.name), "stale");
        snprintf(error.text, sizeof(error.text),
                 "den has not answered for %d s what this machine has to know before it dials",
                 CLI_READY_MS / 1000);
        snprintf(
            error.remedy, sizeof(error.remedy),
            "try again; if it repeats, tell the operator: the router, or somebody before it, keeps "
            "den's answers back");
    }
    return cli_fail(cli, what, &error);
}
