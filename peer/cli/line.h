/* SPDX-License-Identifier: Apache-2.0 */
/* What `warren tunnel`, `nc`, `send`, `expose` and `receive` have in common: their words, getting online, the one link that is
 * dialled, the question before a call is taken, and the pump between a stream and descriptors. */
#pragma once

#include "cli.h"

#include <poll.h>

enum { LINE_MAX_WORDS = 32, PUMP_SIZE = 65536 };

struct line {
    struct cli *cli;
    const char *verb;
    const char *usage; /* of the verb */
    const char *const
        *caps; /* NULL-terminated: asked for by who dials, served by who takes calls */
    bool takes_calls;
    char whom[CLI_WHOM]; /* who is dialled */
    int n;               /* words that are no option */
    char *word[LINE_MAX_WORDS];

    struct peer *peer;
    struct peer_link *link;      /* dialled; or the call that somebody is asked about */
    struct cli_ready_wait ready; /* who dials */
    bool is_up, is_asking, input_ended;
    bool is_over; /* with this exit status */
    int status;
    char in[256]; /* typed for the question */
    size_t n_in;
};

/* Reads what follows the verb. 0; or minus one (help was asked for), or the exit status. */
int line_words(struct line *line, int argc, char **argv);
int line_usage(const struct line *line, const char *fmt, ...)
    __attribute__((format(printf, 2, 3))); /* says it; 2 */
/* A port, 1 to 65535 (from 0 when `takes_none`). */
bool line_port(const char *text, bool takes_none, unsigned *ret_port);
/* Makes the peer; false after having said why and set line->status. */
bool line_open(struct line *line);
void line_dial(struct line *line);
void line_end(struct line *line, int status);
/* What all of them do with an event. The verb looks at it first: LINK_DOWN takes line->link away. */
void line_event(struct line *line, const struct peer_event *event);
/* How long who dials waits for what it has to know before (ms, for cli_wait(); -1: for ever), and what is done when that
 * time is over. */
int line_left(const struct line *line);
void line_check(struct line *line);
/* The descriptor to wait on for an answer to the question, or -1; and what is done when it is readable. */
int line_question(const struct line *line);
void line_answer(struct line *line);

/* ---- between a stream and descriptors ---- */

struct pump_end {
    char *bytes;
    size_t size, at, n; /* bytes[at .. n) wait */
    bool has_ended /* nothing comes any more */, end_told;
};
struct pump {
    struct peer_link *link;
    struct peer_stream *stream; /* NULL: over */
    int in, out;                /* may be the same socket; -1: closed */
    bool is_socket, owns, is_failed, is_broken;
    struct pump_end to_stream, to_out;
    unsigned long long n_sent, n_received;
};

/* Borrows the descriptors, or with `owns` takes them. */
struct pump *pump_new(struct peer_link *link, struct peer_stream *stream, int in, int out,
                      bool owns);
void pump_free(struct pump *pump); /* resets the stream when it is not over */
/* Fills at most two entries and returns how many. */
unsigned long pump_fds(const struct pump *pump, struct pollfd fds[2]);
/* Moves what can be moved. False when it is over: both halves ended and were acknowledged, or it failed. */
bool pump_turn(struct pump *pump, const struct pollfd *fds, unsigned long n);
/* The stream was closed, or its link: what had arrived still goes out. `is_broken`: there should have been more, which a socket of
 * ours is told by a reset. */
void pump_stream_over(struct pump *pump, bool is_broken);

/* ---- many of them ---- */

enum { CARRY_PUMPS = 256, CARRY_LISTENERS = 16 };

struct carry {
    struct line line;
    struct pump *pump[CARRY_PUMPS];
    unsigned long n_pumps;
    int listener[CARRY_LISTENERS]; /* waited on while `listens` and a place is free */
    unsigned long n_listeners;
    bool listens;
    void (*on_listener)(struct carry *carry, unsigned long i);
    void (*on_event)(struct carry *carry, const struct peer_event *event); /* after line_event() */
    void (*on_pump_over)(struct carry *carry, const struct pump *pump);    /* or NULL */
};

bool carry_is_full(const struct carry *carry);
void carry_add(struct carry *carry, struct pump *pump);
/* Until line.is_over or a signal; returns the exit status. Frees pumps, listeners and the peer. */
int carry_run(struct carry *carry);
