/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of den's side of its signer, shared by the signer_*.c. Nobody else includes it. */
#pragma once

#include "base/list.h"
#include "den/signer.h"

struct signer {
    struct signer_road road;
    struct vault *vault; /* in this process; NULL: in another one */
    struct list kept;    /* struct kept: of that one */
    char *dir;           /* that it was opened from; NULL: none */
    struct signer_config config;
    char *network, *crl_url, *ca_url, *ocsp_url;
    struct pki_cert *cert;
    uint8_t sign_pk[KEY_SIZE], netid[HASH_SIZE];
    char report[200];
    struct signer_numbers numbers;
    uint64_t generation, greeted; /* that it was, and that it is being asked who it is */
    uint64_t heard_at;            /* mono: its newest answer; 0: none yet */
    bool is_tried;                /* it was asked whether it answers */
    struct list flights;          /* struct flight: in the order in which they were asked */
    size_t n_flights, n_answered;
    size_t n_heartbeats; /* at the signer */
};

/* Asks and waits. A refusal is the error; else *ret_in is at what follows in `answer`. */
bool signer_ask(struct signer *s, const struct buf *request, struct buf *answer,
                struct vault_in *ret_in, struct err *err);
bool signer_end(const struct vault_in *in, struct err *err); /* the answer has nothing more */
void signer_write_hello(struct buf *request);
/* Takes its answer: it is who it says from now on, and greeted. */
bool signer_take_hello(struct signer *s, struct vault_in *in, struct err *err);
/* False; with what to do about what was answered instead. */
bool signer_is_strange(struct err *err);
uint64_t signer_generation(const struct signer *s);

/* ---- signer_flight.c: what is asked without waiting ------------------------------------------------ */

/* Embedded in what knows more about it. */
struct flight {
    struct list node;
    /* With what was answered; or with NULL and why not. Not called when nobody waits any more. */
    void (*landed)(struct flight *flight, struct vault_in *in, const struct err *why);
    void (*free)(struct flight *flight);
    bool is_forgotten;
    bool is_answered;
    struct buf answer;
    struct err err; /* code ERR_NONE: `answer` is one */
};
void signer_take_off(struct signer *s, const struct buf *request, struct flight *flight_taken);
enum flights { FLIGHTS_LOOK, FLIGHTS_WAIT };
/* Takes in the answers of those that have one. */
void signer_land(struct signer *s, enum flights how);
/* The one that took off last ends here, whatever others wait for: their callers may be in the midst of something. */
void signer_end_last(struct signer *s);
