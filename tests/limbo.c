/* SPDX-License-Identifier: Apache-2.0 */
/* limbo [-v] FILE: judges every chain of an x509-limbo JSON file, names every false accept (with -v
 * every chain's outcome), and prints the totals. Exit status 0 when nothing was accepted that must
 * be refused. */
#include "tests/unit/pki/limbo.h"

#include <stdio.h>

static bool is_verbose;

static void tell(struct view id, bool is_good, const char *why)
{
    if (!is_good && !why)
        printf("false accept: %.*s\n", VIEW_FMT(id));
    else if (is_good && why && is_verbose)
        printf("false refusal: %.*s: %s\n", VIEW_FMT(id), why);
    else if (is_verbose)
        printf("%s: %.*s%s%s\n", is_good ? "accepted" : "refused", VIEW_FMT(id), why ? ": " : "",
               why ? why : "");
}

int main(int argc, char **argv)
{
    static const char *const names[] = { [PKI_CLIENT] = "client", [PKI_SERVER] = "server" };
    struct limbo_totals totals[2] = { 0 };
    struct err err;

    is_verbose = argc == 3 && strcmp(argv[1], "-v") == 0;
    if (argc != 2 + is_verbose) {
        fprintf(stderr, "usage: limbo [-v] FILE\n");
        return 2;
    }
    if (!key_init(&err) || !limbo_run(argv[argc - 1], tell, totals, &err)) {
        fprintf(stderr, "limbo: %s\n", err.text);
        return 2;
    }
    for (int role = PKI_SERVER; role >= PKI_CLIENT; role--)
        printf("%s chains: %u of %u bad ones accepted, %u of %u good ones accepted\n", names[role],
               totals[role].n_bad_taken, totals[role].n_bad, totals[role].n_good_taken,
               totals[role].n_good);
    return totals[PKI_SERVER].n_bad_taken || totals[PKI_CLIENT].n_bad_taken ? 1 : 0;
}
