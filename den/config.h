/* SPDX-License-Identifier: Apache-2.0 */
/* den.conf: one table makes the fields, the defaults, the parser and the help. den.conf(5) says what they are for. */
#pragma once

#include "base/conf.h"

#define DEN_OPTIONS(X)                                                                             \
    X(network, NETWORK, NULL, "the network's name")                                                \
    X(router, ADDRESS, NULL, "where the router listens")                                           \
    X(join_host, ADDRESS, "",                                                                      \
      "the router as join strings name it; the same as router when not given")                     \
    X(state, PATH, ".", "the folder with keys, certificates, trust set and store")                 \
    X(signer, TEXT, "",                                                                            \
      "the socket of warren-den-signer; empty: den starts one, on the keys in state")              \
    X(signer_folder, TEXT, "",                                                                     \
      "where that signer's keys are, for warren-den rollover: den itself never looks there")       \
    X(intermediate_key, TEXT, "",                                                                  \
      "where the next intermediate's key is made: a PKCS#11 URI; empty: in a file")                \
    X(token_paths, TEXT, "", "what its module opens while it signs: absolute paths")               \
    X(policy, PATH, "policy.yaml", "who may reach whom: policy.yaml(5)")                           \
    X(leaf_life, DURATION, "24h", "how long a peer's certificate is valid")                        \
    X(router_life, DURATION, "30d", "how long the router's certificate is valid")                  \
    X(crl_life, DURATION, "24h", "how long a revocation list is valid; a new one at half of it")   \
    X(admission_life, DURATION, "7d", "how long a peer may come back without asking den")          \
    X(heartbeat_interval, DURATION, "30s", "a signed heartbeat this often")                        \
    X(heartbeat_bound, DURATION, "10m", "peers refuse new links when theirs is older than this")   \
    X(offer_timeout, DURATION, "60s", "how long the called side may take to answer")               \
    X(enrol_burst, NUMBER, "60",                                                                   \
      "new peers that one source (a /24, of IPv6 a /48) may bring at once; 0: any number")         \
    X(enrol_every, DURATION, "1s", "after that, one more this often")                              \
    X(dial_burst, NUMBER, "60", "dials that one peer may make at once; 0: any number")             \
    X(dial_every, DURATION, "1s", "after that, one more this often")                               \
    X(misses_per_network, NUMBER, "60",                                                            \
      "look-ups and dials a minute from one network (/24, /48) that reach nobody; 0: any number")  \
    X(sessions_per_pair, NUMBER, "32", "sessions between two peers at once; 0: any number")        \
    X(sessions_per_id, NUMBER, "256", "sessions of one peer at once; 0: any number")               \
    X(lost_after, DURATION, "5m", "a session ends when both its ends were offline for so long")    \
    X(relay, TEXT, "",                                                                             \
      "HOST:PORT of relays that sessions use, with spaces between; empty: the router's own")       \
    X(turn, TEXT, "",                                                                              \
      "TURN servers: turn:HOST:PORT?transport=udp and tcp, with spaces between; empty: none")      \
    X(turn_secrets, TEXT, "",                                                                      \
      "files with the secrets that they know, mode 0600; the first makes credentials")             \
    X(crl_url, TEXT, "", "where certificates say that the revocation list is")                     \
    X(ca_url, TEXT, "", "where certificates say that the intermediate is")                         \
    X(ocsp_url, TEXT, "", "where certificates say that OCSP answers")                              \
    X(ocsp_life, DURATION, "1h", "how long an OCSP answer may be kept")                            \
    X(http, TEXT, "",                                                                              \
      "ADDRESS:PORT of plain HTTP for /crl, /ca, /root, /ocsp, /health; empty: none")              \
    X(metrics, TEXT, "",                                                                           \
      "ADDRESS:PORT of plain HTTP for /metrics, /healthz and /readyz; empty: none")                \
    X(ocsp_burst, NUMBER, "500",                                                                   \
      "OCSP requests that one network (/24, /48) may make at once; 0: any number")                 \
    X(csr_burst, NUMBER, "5", "certificates that one peer may ask for at once; 0: any number")     \
    X(csr_every, DURATION, "10m", "after that, one more this often")                               \
    X(id_digits, NUMBER, "6", "digits of a new ID, 6 to 9")                                        \
    X(enrolment, TEXT, "token",                                                                    \
      "who may join: token (with a token), approval (whom the operator approves) or open "         \
      "(everybody)")                                                                               \
    X(provisional_life, DURATION, "30d",                                                           \
      "open: an ID is given up when its machine does not come back for so long")                   \
    X(names_per_id, NUMBER, "8", "names that a peer may claim by itself; 0: none")                 \
    X(name_quarantine, DURATION, "90d", "a released name is nobody else's for so long")            \
    X(audit_copy, TEXT, "",                                                                        \
      "journal: each audit entry goes to systemd's journal too; or the path of such a socket")     \
    X(audit_keep, DURATION, "0d",                                                                  \
      "entries that are older go from the audit into files of state/audit; 0d: they stay")         \
    X(log_level, TEXT, "info", "debug, info, warn or error")                                       \
    X(log_format, TEXT, "text", "text, which is key=value, or json")

struct den_config {
#define X(...) CONF_FIELD(__VA_ARGS__)
    DEN_OPTIONS(X)
#undef X
    bool accepts_no_list; /* no option of the file: --without-list */
    /* Of den's keys, and of the token that has the intermediate's: no options, and not in the file; NULL: none. Wiped when
     * they are read. */
    struct buf *passphrase, *pin;
};

/* Reads and checks the file. On failure err holds the first error with file, line and what was expected, *ret_all one
 * line per error; config_deinit() must be called in any case. */
bool config_read(const char *path, struct den_config *config, struct buf *ret_all, struct err *err);
/* What is good and hardly meant so: a line for each, with its place. `config` as it was read from `path`. */
void config_doubts(const char *path, const struct den_config *config, struct buf *to);
void config_deinit(struct den_config *config);
/* Each option as a file would say it, "" where it has no value; `value` is the caller's for the time of the call. */
#define DEN_COUNT_OPTION(...) +1
enum { DEN_N_OPTIONS = 0 DEN_OPTIONS(DEN_COUNT_OPTION) };
void config_each_value(const struct den_config *config,
                       void (*each)(void *user, const char *key, const char *value), void *user);
/* Reads the file again: what den can take while it runs is taken, and named in *ret_taken; what needs a restart stays as it is, and
 * is named in *ret_left; both with spaces between. *ret_turn is the caller's, as of config_open_turn(): read anew, as a secret may be another
 * one though its file's name is not. On failure nothing is changed. */
struct turn;
bool config_reload(const char *path, struct den_config *config, struct turn **ret_turn,
                   struct buf *ret_taken, struct buf *ret_left, struct buf *ret_all,
                   struct err *err);
bool config_is_live(const char *name); /* taken by config_reload() */
void config_help(struct buf *to);
struct config_values { /* that are no defaults; NULL or empty: it is one */
    const char *network, *router, *intermediate_key, *token_paths;
};
/* Appends a den.conf with every key, its help and its default, for `warren-den init`. */
void config_write(const struct config_values *values, struct buf *to);

/* The TURN servers that the file names, with their secrets: NULL where it names none. Errors begin with file and line.
 * `path` as for config_read(). */
struct turn;
bool config_open_turn(const char *path, const struct den_config *config, struct turn **ret_turn,
                      struct err *err);

/* Whether each of the secrets' files is good, also where config_read() found something else: a line for each that is not. `path` as for
 * config_read(). */
bool config_check_turn(const char *path, const struct den_config *config, struct buf *ret_all);

/* den's state folder, for nobody else to enter. NOT_FOUND, EXPOSED. */
bool config_check_folder(const char *dir, struct err *err);
/* What opens the keys, as it was asked for. */
struct vault_secrets;
struct vault_secrets config_secrets(const struct den_config *config);
/* The state folder and every file in it that holds a secret: EXPOSED when others can get at one. */
bool config_check_secrets(const struct den_config *config, struct err *err);
