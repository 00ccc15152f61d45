/* SPDX-License-Identifier: Apache-2.0 */
#include "findings.h"

#include <string.h>

static const char *verdict_name(enum peer_verdict verdict)
{
    switch (verdict) {
    case PEER_GOOD:
        return "good";
    case PEER_NOTE:
        return "note";
    case PEER_BAD:
        break;
    }
    return "bad";
}

void findings_begin(struct findings *findings, bool json)
{
    *findings = (struct findings){ .json = json };
    if (json)
        printf("{\"findings\": [");
}

static void put_json(const struct findings *findings, const struct peer_finding *finding)
{
    printf("%s{\"subject\": ", findings->n ? ", " : "");
    cli_json_text(stdout, finding->subject);
    printf(", \"verdict\": ");
    cli_json_text(stdout, verdict_name(finding->verdict));
    printf(", \"text\": ");
    cli_json_text(stdout, finding->text);
    printf(", \"remedy\": ");
    cli_json_text(stdout, finding->remedy);
    printf(", \"facts\": {");
    for (size_t i = 0; i < finding->n_facts; i++) {
        printf("%s", i ? ", " : "");
        cli_json_text(stdout, finding->facts[i].name);
        printf(": ");
        cli_json_text(stdout, finding->facts[i].value);
    }
    printf("}}");
}

void findings_put(struct findings *findings, const struct peer_finding *finding)
{
    if (findings->json) {
        put_json(findings, finding);
    } else {
        printf("%-4s  %-12s ", verdict_name(finding->verdict), finding->subject);
        cli_put_safe(stdout, finding->text, strlen(finding->text));
        printf("\n");
        if (finding->remedy[0] != '\0')
            printf("                   what to do: %s\n", finding->remedy);
        fflush(stdout);
    }
    findings->n++;
    findings->n_bad += finding->verdict == PEER_BAD;
}

void findings_put_error(struct findings *findings, const char *subject,
                        const struct peer_error *error)
{
    struct peer_finding finding = { .verdict = PEER_BAD, .n_facts = 1 };

    snprintf(finding.subject, sizeof(finding.subject), "%s", subject);
    snprintf(finding.text, sizeof(finding.text), "%s", error->text);
    snprintf(finding.remedy, sizeof(finding.remedy), "%s", error->remedy);
    snprintf(finding.facts[0].name, sizeof(finding.facts[0].name), "error");
    snprintf(finding.facts[0].value, sizeof(finding.facts[0].value), "%s", error->name);
    findings_put(findings, &finding);
}

int findings_end(struct findings *findings)
{
    if (findings->json)
        printf("], \"bad\": %u}\n", findings->n_bad);
    else if (findings->n_bad)
        printf("%u of %u lines are bad\n", findings->n_bad, findings->n);
    else
        printf("nothing is bad\n");
    return findings->n_bad ? 1 : 0;
}
