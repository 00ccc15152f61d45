/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a path (RFC 8445), on libnice in its unreliable mode: one component, trickled
 * candidates (RFC 8838), consent freshness (RFC 7675) on. Everything happens on one GLib main
 * context: call from its thread alone. Callbacks come from that context, never from inside a
 * call made here. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* ---- the description: text, no I/O -------------------------------------------------------- */

enum { ICE_MAX_OFFER = 2048, ICE_MAX_CANDIDATES = 32, ICE_MAX_LATER = 16, ICE_MAX_LINE = 256 };

/* Our half or theirs. As text, one attribute a line ("\n" after each), the lines of RFC 8839
 * without "a=":
 *     ice-ufrag:Fg3a
 *     ice-pwd:0123456789abcdefghijkl
 *     candidate:1 1 UDP 2130706431 192.0.2.1 40000 typ host
 *     end-of-candidates                                          (once no more will come) */
struct ice_description {
    char *ufrag, *pwd;
    char *candidates[ICE_MAX_CANDIDATES]; /* "candidate:..." */
    size_t n_candidates;
    bool is_complete;
};
void ice_description_deinit(struct ice_description *d);
void ice_description_write(const struct ice_description *d, struct buf *to);
/* Strict: sizes, character sets, every candidate one that ice_candidate_check() takes. BAD_WIRE
 * names the line. */
bool ice_description_read(struct view text, struct ice_description *ret, struct err *err);
/* The same without the credentials: candidates that come later, at most ICE_MAX_LATER, and perhaps their end. */
bool ice_description_read_later(struct view text, struct ice_description *ret, struct err *err);
/* One candidate line from afar: UDP, component 1, a unicast address, a port over 0. Link-local
 * IPv6 is refused, loopback too unless allowed; a description may contain loopback, an agent
 * that does not allow it skips those lines. */
bool ice_candidate_check(struct view line, bool allow_loopback, struct err *err);

/* ---- the agent ---------------------------------------------------------------------------- */

struct ice_agent;

enum ice_state {
    ICE_GATHERING,
    ICE_CONNECTING,
    ICE_READY,  /* a pair was nominated: ice_agent_path() says which */
    ICE_FAILED, /* no pair works, or consent was lost */
};

enum ice_kind { ICE_HOST, ICE_SRFLX, ICE_PRFLX, ICE_RELAY };

struct ice_path {               /* the selected pair */
    char local[64], remote[64]; /* "192.0.2.1:40000", "[2001:db8::1]:40000" */
    enum ice_kind local_kind, remote_kind;
};

struct ice_events {
    void (*on_state)(void *user, enum ice_state state);
    /* One of ours that came after ice_agent_describe(): send it to the other side. What a
     * description contained is not told again, and nothing is told before the first one. */
    void (*on_candidate)(void *user, const char *line);
    void (*on_gathered)(void *user); /* no more of ours will come */
    void (*on_packets)(void *user, const struct view *packets,
                       size_t n);    /* borrowed; many at once */
    void (*on_writable)(void *user); /* after ice_agent_send() took less than all; may be NULL */
};

/* TURN servers (RFC 8656) and what opens them, for one session. */
enum { ICE_MAX_TURN = 8, ICE_TURN_HOST = 254, ICE_TURN_TEXT = 129 };
struct ice_turn {
    struct ice_turn_server {
        char host[ICE_TURN_HOST]; /* a name, or an IP address without brackets */
        uint16_t port;
        bool is_tcp;
    } servers[ICE_MAX_TURN]; /* the preferred ones first; UDP is tried before TCP in any case */
    size_t n_servers;
    char username[ICE_TURN_TEXT], password[ICE_TURN_TEXT];
};
void ice_turn_wipe(struct ice_turn *turn);

struct ice_config {
    void *context;       /* GMainContext */
    bool is_controlling; /* the caller is */
    bool allow_loopback; /* gather 127.0.0.1 too: two peers on one machine without a network */
    /* Copied, and wiped once the servers were asked. NULL: the agent finds direct paths, and no other. Else it finds those that
     * go through a server, and no other: the controlling side offers relayed candidates alone, the controlled one takes no
     * others. So both agents of a session can have a path at the same time. */
    const struct ice_turn *turn;
    /* The IP address of a STUN server, which says what address the NAT gives us (server-reflexive candidates); copied.
     * NULL or "": none is asked. */
    const char *stun;
    uint16_t stun_port;
    bool maps_ports; /* asks the home router for a port (portmap.h) */
    const struct ice_events *events;
    void *user;
};

/* Once a process, before all else of ice: what GLib's sockets do to SIGPIPE when there is a first one is undone, for that is the program's
 * decision. */
void ice_begin(void);
bool ice_agent_new(const struct ice_config *config, struct ice_agent **ret_agent, struct err *err);
/* Ends it; closes asynchronously and frees itself later on the context. No callback comes after,
 * and it may be called from inside one. NULL is fine. A context is iterated until
 * ice_n_closing() is 0 before it is dropped. */
void ice_agent_free(struct ice_agent *agent);
unsigned ice_n_closing(void); /* agents of this process that were freed and are not closed yet */
OWN_FREEP(ice_agent, struct ice_agent)
bool ice_agent_gather(struct ice_agent *agent, struct err *err);
bool ice_agent_is_gathered(const struct ice_agent *agent);
/* One that gathered in advance, made without events, gets the events, the user and the port mapping of this configuration; before it is
 * described. */
void ice_agent_take(struct ice_agent *agent, const struct ice_config *config);
/* Our description as it stands: credentials and the candidates gathered so far; host candidates
 * are all there when ice_agent_gather() returns, without TURN. */
void ice_agent_describe(struct ice_agent *agent, struct ice_description *ret);
bool ice_agent_has_relayed(const struct ice_agent *agent); /* a server gave it an address */
/* Theirs: starts the checks. More candidates may follow. */
bool ice_agent_set_remote(struct ice_agent *agent, const struct ice_description *theirs,
                          struct err *err);
bool ice_agent_add_remote(struct ice_agent *agent, struct view candidate_line, struct err *err);
void ice_agent_end_remote(struct ice_agent *agent);
/* After FAILED: the checks begin anew between the addresses that both ends have, with the credentials that they have. For when there is no
 * way to exchange others. False: it never had theirs. */
bool ice_agent_check_again(struct ice_agent *agent);
enum ice_state ice_agent_state(const struct ice_agent *agent);
bool ice_agent_path(const struct ice_agent *agent,
                    struct ice_path *ret_path); /* false before READY */
/* Sends up to `n` datagrams; returns how many went (0: would block, or no pair yet). Lost ones
 * count as sent. */
size_t ice_agent_send(struct ice_agent *agent, const struct view *packets, size_t n);
/* ---- names -------------------------------------------------------------------------------- */

/* Looks an IP address of `host` up, an IPv4 one where there is one; calls once from the context (GMainContext), with NULL
 * when it has none. After _cancel() it does not call any more. */
struct ice_lookup;
typedef void ice_on_address(void *user, const char *address);
struct ice_lookup *ice_lookup_new(void *context, const char *host, ice_on_address *on_address,
                                  void *user);
/* The same with all of its addresses, in the system's order, ICE_LOOKUP_MOST at most. */
enum { ICE_LOOKUP_MOST = 8 };
typedef void ice_on_addresses(void *user, const char *const *addresses, size_t n);
struct ice_lookup *ice_lookup_all_new(void *context, const char *host,
                                      ice_on_addresses *on_addresses, void *user);
void ice_lookup_cancel(struct ice_lookup *lookup); /* not after it has called; NULL is fine */

const char *ice_kind_name(enum ice_kind kind); /* "host", "srflx", "prflx", "relay" */
