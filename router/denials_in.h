/* SPDX-License-Identifier: Apache-2.0 */
/* What denials.c, which counts and tells, and denials_kept.c, which keeps what den was not told, share. */
#pragma once

#include "router/denials.h"
#include "router/router.h"

struct denial {
    struct list of_who;
    struct who *who;
    struct buf key; /* who, what and how */
    char address[64];
    enum policy_verb verb;
    enum policy_verdict verdict;
    struct buf uri;             /* empty: what is not counted apart */
    uint64_t n, n_telling;      /* since den was told; that are being told */
    uint64_t first_at, last_at; /* network time, of `n`; since it was told last */
    uint64_t telling_since;     /* first_at of those that are being told */
    uint64_t told_at;           /* mono; 0: never */
};

struct who { /* an ID; of guests, who have a new one each time, where they come from */
    struct list denials;
    struct buf key;
    char id[CONN_ID];
    enum role role;
    size_t n, n_acts; /* n_acts: of n */
};

struct denials {
    struct router *router;
    struct map *by_key, *by_who;
    size_t n_acts;
    struct deadline due;
    struct call *asking; /* NULL: den is not being told */
    struct buf unkept;   /* records of acts that the disk lacks */
    size_t n_kept;       /* bytes there */
    bool is_torn;        /* what is there is to be written anew */
};

extern const char *const denials_verbs[]; /* by enum policy_verb, and those of denials.h */

/* What somebody did, and was not refused. */
static inline bool denials_is_act(enum policy_verb verb)
{
    return (int)verb >= DENIALS_KICK;
}

/* Whose denials those of `id` are; of guests, those from `near`. */
struct who *denials_who(struct denials *all, enum role role, struct view id, struct view near);
void denials_forget_if_new(struct denials *all, struct who *who); /* who has none */
/* NULL: it is not counted. */
struct denial *denials_find(struct denials *all, struct who *who, enum policy_verb verb,
                            struct view uri);
void denials_arm(struct denials *all, uint64_t at);

/* ---- denials_kept.c ------------------------------------------------------------------------------- */

void denials_put_record(struct buf *to, const struct denial *d, bool is_told, uint64_t n,
                        uint64_t first_at);
bool denials_has_untold(const struct denials *all);
/* all->unkept goes to the disk; `is_all`: what is there is written anew. Only where the router's outside keeps acts. */
void denials_write(struct denials *all, bool is_all);
