/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of `warren-den policy` share: their words, a den's kept policies, and how decisions are shown. */
#pragma once

#include "den/config.h"
#include "den/policy.h"
#include "den/policy_kept.h"
#include "den/verb.h"

struct policy_order { /* what stood behind the verb */
    const char *config, *at, *since;
    bool is_json;
    const char *word[3];
    size_t n_words;
};

struct policy_archive {
    struct den_config config;
    struct store *store;
};

/* Options, and `least` to `most` words that `names` has; VERB_DONE, or what the program ends with. */
int verb_policy_read(int argc, char **argv, const char *const *names, size_t least, size_t most,
                     struct policy_order *order);
/* An instant, or how long ago. */
bool verb_policy_read_time(const char *option, const char *text, uint64_t *ret_at, struct err *err);
/* As JSON: `before`, then "name": and the value; null for no instant. */
void verb_policy_put_text(struct buf *to, const char *before, const char *name, struct view text);
void verb_policy_put_at(struct buf *to, const char *before, const char *name, uint64_t at);

/* VERB_DONE; otherwise it was said why not. Close it in any case. */
int policy_archive_open(const struct policy_order *order, struct policy_archive *a);
void policy_archive_close(struct policy_archive *a);
/* NOT_FOUND; the caller owns *ret_policy. */
bool policy_archive_number(struct policy_archive *a, uint64_t no, struct policy **ret_policy,
                           uint64_t *ret_at, struct err *err);
bool policy_archive_newest(struct policy_archive *a, struct policy **ret_policy, uint64_t *ret_no,
                           struct err *err);
/* A number, or a file. */
bool policy_archive_word(struct policy_archive *a, const char *word, struct policy **ret_policy,
                         struct err *err);

/* All of a file's, a line each. */
void verb_policy_print_errors(struct view all, bool is_json);
void verb_policy_put_decision_json(struct buf *to, const struct policy_decision *d);
void verb_policy_put_decision(struct buf *to, const struct policy_decision *d);
/* Joined by commas; INVALID_ARGUMENT. */
bool verb_policy_split_caps(const char *text, struct view caps[POLICY_MAX_CAPS], size_t *ret_n,
                            struct err *err);
