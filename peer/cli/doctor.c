/* SPDX-License-Identifier: Apache-2.0 */
/* `warren doctor`: this machine and its way into the network. */
#include "findings.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void examine(struct findings *findings, struct peer *peer)
{
    struct peer_error error;
    struct peer_event event;

    if (!peer_examine(peer, &error)) {
        findings_put_error(findings, "state", &error);
        return;
    }
    for (;;) {
        while (cli_next_event(peer, &event)) {
            if (event.type == PEER_EVENT_FINDING && !event.link)
                findings_put(findings, event.finding);
            if (event.type == PEER_EVENT_EXAMINED && !event.link)
                return;
            if (event.type == PEER_EVENT_FAILED) {
                findings_put_error(findings, cli_goes_on() ? "identity" : "router", &event.error);
                cli_only_once(); /* half of it was said */
                return;
            }
            if (event.type == PEER_EVENT_CLONED)
                findings_put_error(findings, "identity", &event.error);
        }
        cli_wait(peer, -1, -1);
    }
}

/* Of the same user's program, but maybe of another version. */
static bool is_whole(struct peer_finding *finding, ssize_t n)
{
    if (n != (ssize_t)sizeof(*finding) || finding->n_facts > PEER_MAX_FINDING_FACTS)
        return false;
    finding->subject[sizeof(finding->subject) - 1] = '\0';
    finding->text[sizeof(finding->text) - 1] = '\0';
    finding->remedy[sizeof(finding->remedy) - 1] = '\0';
    for (size_t i = 0; i < finding->n_facts; i++) {
        finding->facts[i].name[sizeof(finding->facts[i].name) - 1] = '\0';
        finding->facts[i].value[sizeof(finding->facts[i].value) - 1] = '\0';
    }
    return true;
}

static void put_note(struct findings *findings, enum peer_verdict verdict, const char *text,
                     const char *remedy)
{
    struct peer_finding finding = { .verdict = verdict };

    snprintf(finding.subject, sizeof(finding.subject), "program");
    snprintf(finding.text, sizeof(finding.text), "%s", text);
    snprintf(finding.remedy, sizeof(finding.remedy), "%s", remedy);
    findings_put(findings, &finding);
}

/* What the program that uses this identity sees. */
static void examine_beside(const struct cli *cli, struct findings *findings)
{
    struct peer_finding finding;
    struct peer_error error;
    int fd = peer_examine_beside(cli->state_dir, &error);
    unsigned n_before;
    ssize_t n;

    if (fd < 0) {
        findings_put_error(findings, "state", &error);
        return;
    }
    put_note(findings, PEER_NOTE,
             "another program uses this identity: what follows is how that one sees it", "");
    n_before = findings->n;
    while ((n = recv(fd, &finding, sizeof(finding), 0)) > 0 || (n < 0 && errno == EINTR)) {
        if (n > 0 && !is_whole(&finding, n)) {
            put_note(findings, PEER_BAD, "it is of another version, and speaks otherwise",
                     "restart it, or stop it and look again");
            break;
        }
        if (n > 0)
            findings_put(findings, &finding);
    }
    if (findings->n == n_before)
        put_note(findings, PEER_BAD, "it examines already, for somebody else",
                 "try again in a few seconds");
    close(fd);
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
        if (strcmp(error.name, "busy") == 0)
            examine_beside(cli, &findings);
        else
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
