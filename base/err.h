/* SPDX-License-Identifier: Apache-2.0 */
/* What failed, and who must act. A fallible function returns bool and takes `struct err *err` last,
 * never NULL; context is added once per folder crossed: "joining: CHALLENGE: not signed by ...". */
#pragma once

#include "base/own.h"

#include <stdbool.h>

/* NAME, the name on the wire and in --json, who must act, one line, what to do about it.
 * PROTOCOL.md, "Errors", lists the same codes; libpeer's PEER_ERR_* are the same too. */
#define ERR_CODES(X)                                                                               \
    X(INVALID_ARGUMENT, "invalid_argument", CALLER, "an argument is not usable",                   \
      "correct the value that the message names")                                                  \
    X(BAD_CONFIG, "bad_config", LOCAL, "the configuration is not usable",                          \
      "correct what the message names")                                                            \
    X(EXPOSED, "exposed", LOCAL, "a secret is readable by others",                                 \
      "take the rights of others away (chmod); if it held a secret, consider that as known")       \
    X(NOT_JOINED, "not_joined", CALLER, "this machine has not joined a network",                   \
      "run `warren join` with a join string from the network's operator")                          \
    X(BAD_PIN, "bad_pin", REMOTE, "the network is not the one that was pinned",                    \
      "check the join string with the operator; somebody may be in between")                       \
    X(BAD_WIRE, "bad_wire", REMOTE, "the other side broke the protocol",                           \
      "compare the versions of both sides; if this is about a file, it is damaged: restore it, "   \
      "or remove it if it is fetched anew")                                                        \
    X(BAD_STATEMENT, "bad_statement", REMOTE, "a signed statement is malformed or not about this", \
      "compare the versions of both sides")                                                        \
    X(BAD_SIGNATURE, "bad_signature", REMOTE, "a signature does not verify",                       \
      "nothing was accepted; if it repeats, tell the operator")                                    \
    X(BAD_CERTIFICATE, "bad_certificate", REMOTE, "a certificate was refused",                     \
      "nothing was accepted; a file that is named is damaged: restore it; else tell the operator") \
    X(NAME_MISMATCH, "name_mismatch", CALLER, "a name does not belong to this ID",                 \
      "leave the names out: they are written from the record")                                     \
    X(WRONG_KEY, "wrong_key", REMOTE, "a key is not the one that was promised",                    \
      "nothing was sent; if it repeats, tell the operator")                                        \
    X(IDENTITY_CHANGED, "identity_changed", REMOTE, "a known peer came with another identity key", \
      "ask its owner; if the change is right, `warren known accept ID` takes the new key")         \
    X(WRONG_BINDING, "wrong_binding", REMOTE, "netsign is bound to TLS in another way here",       \
      "operator: TLS ends at the router, or at a proxy whose certificates proxy_certificates "     \
      "lists")                                                                                     \
    X(UNLISTED_KEY, "unlisted_key", REMOTE, "the manifest does not list this key",                 \
      "tell the operator: router or den use a key that the root did not sign")                     \
    X(EXPIRED, "expired", REMOTE, "it is no longer, or not yet, valid",                            \
      "check the clocks of both sides")                                                            \
    X(CLOCK_SKEW, "clock_skew", LOCAL, "this machine's clock is wrong",                            \
      "set the clock, for example `timedatectl set-ntp true`; the rest goes on by itself")         \
    X(STALE, "stale", CALLER, "it is bound to an old beacon",                                      \
      "make it anew with the newest heartbeat; what is kept on disk may be older than what was "   \
      "published")                                                                                 \
    X(REPLAYED, "replayed", CALLER, "it was used before", "sign a new one")                        \
    X(REVOKED, "revoked", CALLER, "it was revoked", "ask the operator")                            \
    X(BAD_TOKEN, "bad_token", CALLER, "the enrolment token is unknown, spent or expired",          \
      "ask the operator for a new join string")                                                    \
    X(PENDING, "pending", OPERATOR, "it waits for the operator's approval",                        \
      "compare the code with the operator and wait: it goes on by itself")                         \
    X(CLONE, "clone", CALLER, "this identity is in use at another place",                          \
      "stop one of the two; a copy gets an ID of its own: `warren join` with an empty folder. If " \
      "you made none, `warren rekey` and tell the operator")                                       \
    X(NAME_MOVED, "name_moved", CALLER, "a name means another ID than before",                     \
      "ask its owner, or the operator, whether the name was handed on")                            \
    X(MOVED, "moved", CALLER, "this identity was moved to another machine",                        \
      "use it there; or import the file here again to take it back")                               \
    X(LOCKED, "locked", CALLER, "the keys are kept under a passphrase",                            \
      "give it: --passphrase-fd N, at a terminal, or as a systemd credential")                     \
    X(BAD_PASSPHRASE, "bad_passphrase", CALLER, "the passphrase is wrong",                         \
      "try again; without the passphrase nobody can open it")                                      \
    X(NOT_AUTHORIZED, "not_authorized", CALLER, "this caller may not do that",                     \
      "ask the operator for the right to do it")                                                   \
    X(NOT_REACHABLE, "not_reachable", CALLER, "no such peer can be reached by you",                \
      "check the ID, whether the machine is on, and ask the operator whether you may reach it")    \
    X(DECLINED, "declined", CALLER, "the other side said no", "ask the person at the other end")   \
    X(BUSY, "busy", CALLER, "the other side takes no more", "try again later")                     \
    X(TIMEOUT, "timeout", CALLER, "no answer came in time", "try again")                           \
    X(CANCELED, "canceled", CALLER, "it was canceled", "try again if that was not meant")          \
    X(DEN_AWAY, "den_away", OPERATOR, "the authority (den) is not connected",                      \
      "wait, or tell the operator that warren-den is down")                                        \
    X(NETWORK_FAILURE, "network_failure", LOCAL, "the router cannot be reached",                   \
      "check the network and the router's address")                                                \
    X(NO_SUCH_PROCEDURE, "no_such_procedure", CALLER, "nobody serves this procedure",              \
      "check the name, and whether its owner is connected")                                        \
    X(NO_SUCH_REGISTRATION, "no_such_registration", CALLER, "there is no such registration",       \
      "it was removed before")                                                                     \
    X(NO_SUCH_SUBSCRIPTION, "no_such_subscription", CALLER, "there is no such subscription",       \
      "it was removed before")                                                                     \
    X(ALREADY_EXISTS, "already_exists", CALLER, "somebody has it already",                         \
      "choose another name, or remove the other one first")                                        \
    X(INVALID_URI, "invalid_uri", CALLER, "not a usable URI", "use dotted lower-case components")  \
    X(NO_SUCH_REALM, "no_such_realm", CALLER, "the router does not serve this network",            \
      "check the network's name in the join string")                                               \
    X(LIMIT, "limit", CALLER, "a limit is reached", "do less at once, or ask the operator")        \
    X(TOO_LARGE, "too_large", CALLER, "larger than allowed", "make it smaller")                    \
    X(CAPABILITY, "capability", CALLER, "the session does not include this capability",            \
      "dial again and ask for it")                                                                 \
    X(NO_PATH, "no_path", LOCAL, "no path to the other side was found",                            \
      "check that UDP can pass between the two machines")                                          \
    X(CLOSED, "closed", REMOTE, "it is closed", "open it again")                                   \
    X(NOT_FOUND, "not_found", CALLER, "there is no such thing",                                    \
      "check its name, and that it is there")                                                      \
    X(SYSTEM, "system", LOCAL, "the operating system refused",                                     \
      "see the reason that the message names")                                                     \
    X(INTERNAL, "internal", LOCAL, "a fault in this program", "report it, with the log")

enum err_code {
    ERR_NONE = 0,
#define X(name, wire, who, line, remedy) ERR_##name,
    ERR_CODES(X)
#undef X
        ERR_N_CODES
};

struct err {
    enum err_code code;
    char text[320];     /* outermost context first: "a: b: c"; printable, one line */
    const char *remedy; /* static; NULL: that of the code */
};

/* Both return false, to fail in one line. Bytes that are not printable come out as \xNN. */
bool err_set(struct err *err, enum err_code code, const char *fmt, ...) _printf_(3, 4);
bool err_wrap(struct err *err, const char *fmt, ...) _printf_(2, 3);
bool err_errno(struct err *err, const char *fmt, ...)
    _printf_(2, 3); /* SYSTEM, adds strerror(errno) */

/* What to do about this one, where its code's remedy would mislead; static text, of at most 159 bytes. Stays when it is wrapped. */
bool err_advise(struct err *err, const char *remedy);
const char *err_remedy(const struct err *err);

const char *err_code_name(enum err_code code);   /* "not_reachable" */
const char *err_code_line(enum err_code code);   /* one line for humans */
const char *err_code_remedy(enum err_code code); /* what to do about it */
/* The code of that wire name; INTERNAL when it is none of ours. */
enum err_code err_code_find(const char *name, size_t len);

/* They return false, always: what reads code without running it sees no farther than one file. */
#ifdef __clang_analyzer__
#define err_set(...)    ((void)err_set(__VA_ARGS__), false)
#define err_wrap(...)   ((void)err_wrap(__VA_ARGS__), false)
#define err_errno(...)  ((void)err_errno(__VA_ARGS__), false)
#define err_advise(...) ((void)err_advise(__VA_ARGS__), false)
#endif
