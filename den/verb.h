/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of warren-den share. */
#pragma once

#include "base/err.h"
#include "den/config.h"
#include "den/store.h"

enum { VERB_DONE = 0, VERB_FAILED = 1, VERB_MISUSED = 2 };

void verb_speak_json(void); /* from now on the two below say it as JSON on standard output too */
int verb_fail(const struct err *err);   /* says it, and what to do; VERB_FAILED */
int verb_misuse(const struct err *err); /* says it; VERB_MISUSED */
/* Every error of the file, not only the first. False after having said them. */
bool verb_load_config(const char *path, struct den_config *config);
/* Root goes on, to the end of the process, as the user whose folder it is: den can open whatever is made there. NOT_AUTHORIZED for
 * whoever is neither; NOT_FOUND. */
bool verb_enter(const char *path, const struct den_config *config, struct err *err);
/* A file that the operator named, made as the operator. */
bool verb_create(const char *path, struct view bytes, unsigned mode, struct err *err);
/* The store alone, after verb_enter(); false after having said why not. */
bool verb_open_store(const char *path, struct store **ret_store);
/* The same to read alone: also one that cannot be written. */
bool verb_read_store(const char *path, struct store **ret_store);

/* The same to change it: not while den has yet to go on with a store that was restored. */
bool verb_open_to_change(const char *path, struct store **ret_store);

/* What most verbs that change something take: the words that `names` names, into `words`, and --config, whose store is opened.
 * VERB_DONE; anything else, which was said, is the verb's own status. */
int verb_open(int argc, char **argv, const char *const *names, const char **words, size_t n,
              struct store **ret_store);

/* What was done beside the store, for its audit: with who did it behind the pairs, 8 at most. False after having said why not. */
struct audit_pair;
bool verb_note(const struct den_config *config, const char *what, const struct audit_pair *pairs,
               size_t n, struct err *err);
/* An item of a list in JSON, of a map of msgpack. */
void verb_put_json(struct view map, bool is_first, struct buf *to);

/* verb_audit.c */
int verb_audit_list(int argc, char **argv);
int verb_audit_export(int argc, char **argv);
int verb_audit_verify(int argc, char **argv);
int verb_audit_check(int argc, char **argv);

/* verb_check.c */
int verb_check_config(int argc, char **argv);

/* verb_local.c */
int verb_status(int argc, char **argv);
int verb_ask(int argc, char **argv);
int verb_session_list(int argc, char **argv);
int verb_session_close(int argc, char **argv);

/* verb_keys.c */
int verb_passphrase(int argc, char **argv);

/* verb_token.c */
int verb_token_add(int argc, char **argv);
int verb_token_list(int argc, char **argv);
int verb_token_revoke(int argc, char **argv);
int verb_peer_re_enrol(int argc, char **argv);
/* Where join strings for a new key of an ID ended with what was done at that time (wall, ms): the signer's orders end too, or standard
 * error says how to tell it; and if `id` is not NULL, standard output how many they are. VERB_DONE, VERB_FAILED. */
int verb_end_orders(const char *config_path, struct store *store, const char *id, uint64_t at);

/* verb_backup.c */
int verb_backup(int argc, char **argv);
int verb_restore(int argc, char **argv);

/* verb_people.c */
int verb_waiting_list(int argc, char **argv);
int verb_approve(int argc, char **argv);
int verb_deny(int argc, char **argv);
int verb_peer_list(int argc, char **argv);
int verb_peer_groups(int argc, char **argv);
int verb_peer_remove(int argc, char **argv);
int verb_name_list(int argc, char **argv);
int verb_name_assign(int argc, char **argv);
int verb_name_free(int argc, char **argv);

/* verb_policy.c, verb_policy_diff.c, verb_policy_why.c, verb_policy_replay.c */
int verb_policy_list(int argc, char **argv);
int verb_policy_show(int argc, char **argv);
int verb_policy_check(int argc, char **argv);
int verb_policy_test(int argc, char **argv);
int verb_policy_diff(int argc, char **argv);
int verb_policy_why(int argc, char **argv);
int verb_policy_replay(int argc, char **argv);

/* verb_rollover.c */
int verb_router_remove(int argc, char **argv);
int verb_rollover_stage(int argc, char **argv);
int verb_rollover_switch(int argc, char **argv);
int verb_rollover_retire(int argc, char **argv);
int verb_rollover_back(int argc, char **argv);
int verb_rollover_replace(int argc, char **argv);
int verb_rollover_renew(int argc, char **argv);
int verb_rollover_status(int argc, char **argv);
int verb_root_sign(int argc, char **argv);
