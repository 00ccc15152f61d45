/* SPDX-License-Identifier: Apache-2.0 */
/* What `warren call`, `sub`, `pub` and `serve` have in common: their words, values as JSON, and getting online. */
#pragma once

#include "cli.h"

struct rpc_words {
    const char *verb;
    double timeout_s; /* 0: not given */
    const char *kwargs, *match, *invoke;
    char *to;
    bool progress, json, retained, acknowledge, retain, accept, loopback, sign, has_count;
    unsigned long count, max_parallel;
    int n; /* what is no option */
    char **word;
    char **command; /* serve: what follows "--", NULL-terminated */
};

/* Reads what follows the verb by the letters of the options that it has. 0: go on; else, minus one, the exit status. */
int rpc_words_read(struct cli *cli, int argc, char **argv, const char *letters,
                   struct rpc_words *ret_words);
int rpc_usage(const struct rpc_words *words, const char *fmt, ...)
    __attribute__((format(printf, 2, 3))); /* says it; 2 */

/* ---- values ---- */

struct rpc_json { /* values, both as msgpack; free with rpc_json_free() */
    void *args, *kwargs;
    size_t args_size, kwargs_size;
};
/* `word` as one value: JSON, or else text. NULL: it looks like JSON and is not; said. malloc()ed JSON. */
char *rpc_json_value(const char *word, size_t size, struct peer_error *ret_error);
/* Arguments and key=value words (where `takes_keys`) with --kwargs; 0, or the exit status. */
int rpc_json_of_words(const struct rpc_words *words, char *const *word, int n, bool takes_keys,
                      struct rpc_json *ret_json);
bool rpc_json_args(const char *value_json, struct rpc_json *ret_json, struct peer_error *ret_error);
struct peer_values rpc_values(const struct rpc_json *json);
void rpc_json_free(struct rpc_json *json);

/* ---- printing ---- */

/* ,"args":[...],"kwargs":{...} */
void rpc_print_members(FILE *out, const struct peer_values *values);
/* Each argument on a line, text as it is; keywords as a JSON object. */
void rpc_print_plain(FILE *out, const struct peer_values *values);

/* Where the JSON value at `at` ends; the text is what peer_json_from_msgpack() wrote. */
const char *rpc_json_end(const char *at);
/* A JSON string as text, malloc()ed; ret_size may be NULL. */
char *rpc_json_text(const char *from, const char *end, size_t *ret_size);

/* ---- errors ---- */

/* Prints the error, with URI and arguments where it has some, and gives the exit status that stands for it. */
int rpc_fail(const struct cli *cli, const char *verb, const struct peer_error *error,
             const struct peer_message *message);
/* What this machine may use, if policy is what failed. `what`: "register", "publish", "subscribe". */
void rpc_help_names(const struct peer_error *error, const char *id, const char *what);

/* ---- names and the peer ---- */

/* "me.x.y" is peer.<own ID>.x.y, "456000.x.y" is peer.456000.x.y. 0, or the exit status. malloc()ed. */
int rpc_name(const struct cli *cli, const struct rpc_words *words, const char *word,
             char ret_id[16], char **ret_name);
/* The <app> in "peer.<id>.<app>..." and the ID; false for other names. */
bool rpc_name_split(const char *name, char ret_id[16], char ret_app[72]);
struct peer *rpc_open(const struct cli *cli, const struct rpc_words *words,
                      const char *const *capabilities, int *ret_status);
/* What all verbs do with ONLINE and OFFLINE: says it. True: the event was one of these. That den is away, which OFFLINE tells too,
 * concerns links alone. */
bool rpc_on_connection(const struct peer *peer, const struct peer_event *event);
