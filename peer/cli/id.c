/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *show_time(uint64_t ms, char to[32])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;

    if (!gmtime_r(&seconds, &tm) || strftime(to, 32, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        strncpy(to, "-", 2);
    return to;
}

void cli_print_identity(const struct peer_identity *identity, FILE *out)
{
    char id[24], from[32], to[32];

    fprintf(out, "ID           %s\n", cli_show_id(identity->id, id));
    fprintf(out, "network      %s\n", identity->network);
    fprintf(out, "public key   %s\n", identity->public_key);
    fprintf(out, "fingerprint  %s\n", identity->fingerprint);
    if (identity->subject[0] == '\0' && identity->names[0] == '\0') {
        fprintf(out, "certificate  none yet\n");
        return;
    }
    fprintf(out, "certificate  subject  %s\n", identity->subject);
    fprintf(out, "             issuer   %s\n", identity->issuer);
    fprintf(out, "             names    %s\n", identity->names);
    fprintf(out, "             serial   %s\n", identity->serial);
    fprintf(out, "             valid    %s to %s\n", show_time(identity->not_before, from),
            show_time(identity->not_after, to));
}

static void put_member(const char *name, const char *text, const char *before)
{
    printf("%s\"%s\": ", before, name);
    cli_json_text(stdout, text);
}

int cli_id(const struct cli *cli)
{
    struct peer_identity identity;
    struct peer_error error;

    if (!peer_identity_load(cli->state_dir, &identity, &error))
        return cli_fail(cli, "id", &error);
    if (!cli->json) {
        cli_print_identity(&identity, stdout);
        return 0;
    }
    put_member("id", identity.id, "{");
    put_member("network", identity.network, ", ");
    put_member("identity_pk", identity.public_key, ", ");
    put_member("fingerprint", identity.fingerprint, ", ");
    put_member("subject", identity.subject, ", ");
    put_member("issuer", identity.issuer, ", ");
    put_member("names", identity.names, ", ");
    put_member("serial", identity.serial, ", ");
    printf(", \"not_before\": %llu, \"not_after\": %llu}\n",
           (unsigned long long)identity.not_before, (unsigned long long)identity.not_after);
    return 0;
}

int cli_witness(const struct cli *cli)
{
    struct peer_witness witness;
    struct peer_error error;

    if (!peer_witness_load(cli->state_dir, &witness, &error))
        return cli_fail(cli, "audit-witness", &error);
    if (cli->json)
        printf("{\"number\": %llu, \"head\": \"%s\", \"at_ms\": %llu}\n",
               (unsigned long long)witness.number, witness.head, (unsigned long long)witness.at);
    else
        printf("%llu:%s\n", (unsigned long long)witness.number, witness.head);
    return 0;
}
