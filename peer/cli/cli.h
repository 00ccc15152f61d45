/* SPDX-License-Identifier: Apache-2.0 */
/* The `warren` command: a file per verb, on libpeer's public header alone. Answers go to standard output,
 * everything about how it goes to standard error. Exit status: 0 done, 1 failed, 2 wrong usage. */
#pragma once

#include "peer.h"

#include <stdio.h>

struct cli {
    const char *state_dir;         /* NULL: libpeer's default */
    const char *join_file;         /* join: "-" or NULL is standard input */
    const char *facts_file;        /* chat: where the session's facts are written as JSON */
    const char *argument;          /* the verb's first argument, or NULL */
    const char *more[2];           /* and those after it */
    const char *passphrase_fd;     /* its number; NULL: a credential of systemd, or the terminal */
    const char *new_passphrase_fd; /* passphrase: likewise */
    bool remove;                   /* passphrase: none any more */
    unsigned long long for_ms;     /* chat --accept: links end after so long; 0: as policy has it */
    double timeout_s;              /* join: give up after this long */
    bool has_timeout;              /* it was given: who gave it wants to wait */
    enum peer_path path;           /* chat: over which paths */
    bool json, accept, loopback;
    bool sas;    /* chat: ask for the short authentication string */
    bool resume; /* join: go on waiting */
    bool yes;    /* known: do not ask */
};

int cli_join(const struct cli *cli);
int cli_id(const struct cli *cli);
int cli_witness(const struct cli *cli);
int cli_chat(const struct cli *cli);
/* These read their own options: argv[0] is the verb. -1: print the usage. */
int cli_call(struct cli *cli, int argc, char **argv);
int cli_sub(struct cli *cli, int argc, char **argv);
int cli_pub(struct cli *cli, int argc, char **argv);
int cli_serve(struct cli *cli, int argc, char **argv);
int cli_admin(struct cli *cli, int argc, char **argv);
int cli_tunnel(struct cli *cli, int argc, char **argv);
int cli_nc(struct cli *cli, int argc, char **argv);
int cli_expose(struct cli *cli, int argc, char **argv);
int cli_send(struct cli *cli, int argc, char **argv);
int cli_receive(struct cli *cli, int argc, char **argv);
int cli_name(const struct cli *cli);
int cli_rekey(const struct cli *cli);
int cli_known(const struct cli *cli);
int cli_consent(const struct cli *cli);
int cli_doctor(const struct cli *cli);
int cli_explain(struct cli *cli, int argc, char **argv);
bool cli_read_path(const char *text,
                   enum peer_path *ret_path); /* false after having said what is wrong */
int cli_export(const struct cli *cli);
int cli_import(const struct cli *cli);

/* ---- misuse.c: what is wrong, for people and for programs ---- */

/* From now on every error is an object on standard output too: --json stands among the words, whatever else is wrong with them. */
void cli_speak_json(void);
bool cli_speaks_json(void);
/* The object alone, in its line. */
void cli_put_error(const struct peer_error *error);
/* The same of what is no error of the library's, when errors are objects. */
void cli_put_cause(const char *code, const char *remedy, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The words are wrong: says how and what is right; 2, for `return cli_misuse(...)`. */
int cli_misuse(const char *remedy, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same of what getopt_long() gave '?' or ':' for, whose own words are for people alone. */
int cli_bad_option(char **argv, int c, const char *verb, const char *remedy);
/* Says what failed and what to do about it; returns 1, for `return cli_fail(...)`. */
int cli_fail(const struct cli *cli, const char *what, const struct peer_error *error);
/* Whether somebody has to do something before the next try can succeed: who was asked for one thing gives up. */
bool cli_is_for_people(const struct peer_error *error);
/* `word` as an ID, spaces out, or a name, which the library looks up; 0, or the exit status after having said what is wrong. */
enum { CLI_WHOM = 130 };
int cli_whom(const struct cli *cli, const char *verb, const char *word, char ret_whom[CLI_WHOM]);
/* One line about how it goes, to standard error. */
void cli_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* "in 2.5 s", "at once". */
enum { CLI_WHEN = 32 };
const char *cli_when(uint64_t ms, char to[CLI_WHEN]);
/* "500ms", "45s", "30m", "2h", "7d": at most 400 days. False: it is none of these. */
bool cli_read_duration(const char *text, unsigned long long *ret_ms);
void cli_show_duration(unsigned long long ms, char to[24]); /* likewise */
enum { CLI_TIME = 32 };
const char *cli_show_time(unsigned long long ms, char to[CLI_TIME]); /* "2026-11-21T18:05:00Z" */
/* "456000" as "456 000". */
const char *cli_show_id(const char *id, char to[24]);
/* Waits until the peer or (if `input` >= 0) the descriptor is readable, at most `ms` (-1: for ever). */
enum cli_ready { CLI_TIMEOUT = 0, CLI_PEER = 1, CLI_INPUT = 2, CLI_BOTH = 3 };
enum cli_ready cli_wait(const struct peer *peer, int input, int ms);
/* From now on an interrupt, a hang-up or a request to end interrupts cli_wait() instead of the program. */
void cli_catch_signals(void);
int cli_stopped(void);   /* the signal that came; 0: none */
int cli_take_stop(void); /* the same, once */
/* As cli_wait(), for more descriptors: poll(2), which the signals interrupt. */
struct pollfd;
int cli_poll(struct pollfd *fds, unsigned long n, int ms);
/* One line without echo from the terminal, or from the descriptor `fd` when it is not NULL. Asked for twice when it is
 * `is_new`. False after having said what was wrong. Wipe it. */
bool cli_passphrase(const char *fd, bool is_new, char *to, size_t size);
/* peer_new(), with the passphrase when the key needs one, which is asked for once. NULL after having said why. */
struct peer *cli_open(const struct cli *cli, const char *what, struct peer_config *config);
void cli_forget_passphrase(void);
/* "2027-01-31T12:00:00Z", "2027-01-31T12:00:00.5+01:00" (RFC 3339), "2027-01-31": its first moment in UTC; seconds since 1970. */
bool cli_read_time(const char *text, uint64_t *ret_ms);
int cli_change_passphrase(const struct cli *cli);
/* Whether the person says yes; false when there is no terminal. */
bool cli_ask(const char *question);
/* An identity for people, to `out`. */
void cli_print_identity(const struct peer_identity *identity, FILE *out);

/* ---- ready.c: getting online ---- */

/* Milliseconds of a clock that never goes back. */
unsigned long long cli_now(void);
/* Who dials waits so long (ms) for what den has to tell before: certificate, revocations. */
enum { CLI_READY_MS = 20000, CLI_WITHOUT_DEN_MS = 1500 };
struct cli_ready_wait {
    bool dials; /* otherwise it serves, and waits for ever */
    bool is_online, has_joined;
    unsigned long long since; /* cli_now(); 0: nothing is waited for */
    struct peer_error last;   /* why not yet; name "": nothing was said */
};
/* What ONLINE, JOINED and OFFLINE do. OFFLINE: false when who dials, and is not linked yet (`is_up`), should give up. */
void cli_ready_online(struct cli_ready_wait *wait);
void cli_ready_joined(struct cli_ready_wait *wait);
bool cli_ready_offline(struct cli_ready_wait *wait, const struct peer *peer,
                       const struct peer_event *event, bool is_up);
int cli_ready_left(const struct cli_ready_wait *wait); /* ms, for cli_wait(); -1: for ever */
/* Of one question to den, by who did not ask to be kept waiting: when it is given up (cli_now()) as `event`, that den is away, came; 0:
 * it is none. `began`: when the program did; den has a moment to come back. */
unsigned long long cli_ready_without_den(const struct peer_event *event, unsigned long long began);
/* It took too long: says so, with the newest reason; the exit status. */
int cli_ready_over(const struct cli *cli, const char *what, const struct cli_ready_wait *wait);

/* ---- anew.c: this machine's identity key is replaced in the middle ---- */

/* peer_next_event(). This machine's own new key comes as FAILED: the verb ends, and is run again from its words when cli_goes_on(). */
bool cli_next_event(struct peer *peer, struct peer_event *ret_event);
/* From here on what is done cannot be repeated: a request went out, or input was read. The verb ends with an error then. */
void cli_only_once(void);
bool cli_goes_on(void);   /* nothing failed: cli_fail() says nothing */
bool cli_take_anew(void); /* whether to run it again; once */

/* ---- answer.c: the question before a call is taken ---- */

/* "y", "y 30m", "n", "n later, please". All that is no clear yes is a no. */
struct cli_answer {
    bool yes;
    unsigned long long duration_ms; /* 0: as long as policy allows */
    char reason[128];
};
void cli_show_call(const struct peer_event *event); /* who, and what for */
void cli_ask_call(void);
struct cli_answer cli_read_answer(const char *text, size_t len);
void cli_answer_call(const struct cli *cli, const char *what, struct peer_link *link,
                     const struct cli_answer *answer);

/* ---- pki.c: verbs that need no connection and read their own options ---- */

bool cli_pki(int argc, char **argv, int *ret_status); /* false: it is none of them */
void cli_pki_usage(FILE *out);

/* ---- text.c: bytes for terminals and for JSON ---- */

/* Text from afar for a terminal: control characters and broken UTF-8 come out as '?' or \xNN, so that nobody can steer the
 * terminal by what he sends. */
void cli_put_safe(FILE *out, const char *text, size_t size);
void cli_json_text(FILE *out, const char *text); /* quoted and escaped */
void cli_json_bytes(FILE *out, const char *text, size_t size);
void cli_json_hex(FILE *out, const void *bytes, size_t size);
/* Members "self" (ID, key, certificate and chain), "root" and "manifest", without the braces around. */
void cli_json_network(FILE *out, const struct peer *peer);
