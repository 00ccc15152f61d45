/* SPDX-License-Identifier: Apache-2.0 */
/* `warren doctor`: this machine and its way into the network. */
#include "findings.h"

#include <string.h>

static void examine(struct findings *findings, struct peer *peer)
{
    struct peer_error error;
    struct peer_event event;

    if (!peer_examine(peer, &error)) {
        findings_put_error(findings, "state", &error);
        return;
    }
    for (;;) {
        while (peer_next_event(peer, &event)) {
            if (event.type == PEER_EVENT_FINDING && !event.link)
                findings_put(findings, event.finding);
            if (event.type == PEER_EVENT_EXAMINED && !event.link)
                return;
            if (event.type == PEER_EVENT_FAILED) {
                findings_put_error(findings, "router", &event.error);
                return;
            }
            if (event.type == PEER_EVENT_CLONED)
                findings_put_error(findings, "identity", &event.error);
        }
        cli_wait(peer, -1, -1);
    }
}

int cli_doctor(const struct cli *cli)
{
    struct peer_config config = { .size = sizeof(config),
                                  .state_dir = cli->state_dir,
                                  .allow_loopback = cli->loopback };
    struct findings findings;
    struct peer_error error;
    struct peer *peer = peer_new(&config, &error);

    if (!peer && strcmp(error.name, "locked") == 0)
        peer = cli_open(cli, "doctor", &config); /* asks */
    else if (!peer) {
        findings_begin(&findings, cli->json);
        findings_put_error(&findings, "state", &error);
        return findings_end(&findings);
    }
    if (!peer)
        return 1;
    findings_begin(&findings, cli->json);
    examine(&findings, peer);
    peer_free(peer);
    return findings_end(&findings);
}
