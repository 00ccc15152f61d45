/* SPDX-License-Identifier: Apache-2.0 */
/* A session: one grant, two ends, at most one link. dial.c and listen.c bring it to the point where both know all that was
 * signed; from there it is the same on both sides. The library's thread alone. */
#pragma once

#include "ice/ice.h"
#include "peer/carrier_relay.h"
#include "peer/core.h"
#include "peer/handle.h"
#include "peer/link/carrier_ice.h"
#include "peer/link/link.h"
#include "peer/link/path.h"
#include "peer/sas.h"
#include "peer/why.h"

enum session_state {
    SESSION_OPENING,    /* caller: den was asked */
    SESSION_VERIFYING,  /* callee: a newer list or heartbeat is needed to judge the offer */
    SESSION_ASKING,     /* callee: the application was asked */
    SESSION_CONNECTING, /* both know all; ICE, then the handshake */
    SESSION_UP,
    SESSION_CLOSING, /* over; the last packets may still be answered */
};

enum {
    SESSION_MAX = 256,               /* at once */
    SESSION_MAX_WITH = 8,            /* of them with one caller */
    SESSION_MAX_UNANSWERED = 16,     /* offers not yet accepted or declined */
    SESSION_MAX_UNANSWERED_WITH = 4, /* of them by one caller */
    SESSION_ANSWER_MS = 60000,       /* for consent; den waits as long */
    SESSION_CONNECT_MS = 45000,      /* from the accept to the link */
    SESSION_CLOSING_MS = 1000,
    SESSION_REASON = 128,
    SESSION_MAX_WHO = RPC_MAX_STATEMENT + 256, /* bytes of what den says of a caller */
    SESSION_MAX_REKEYS = 16 * 1024,
};

/* restart.c: another try at a direct path. */
enum { RESTART_INBOX = 8 };
struct attempt;
struct restart {
    uint64_t
        number; /* of the newest try, whichever end began it; 0: the one that the session was opened with */
    struct attempt *next, *current; /* under way; in use, instead of the session's `carrier` */
    bool is_wanted;                 /* at once: the machine's network is another one */
    bool was_direct;
    unsigned n_failures;
    uint64_t lost_at, found_at, not_before, again_at; /* clock_mono_ms(); 0: it is not */
    uint64_t theirs_at;   /* when the try began that the other end wanted last */
    uint64_t heard_since; /* and how many the other end has begun since */
    unsigned n_heard;
    struct restart_frame {
        struct buf bytes;
        bool is_from_router;
    } inbox
        [RESTART_INBOX]; /* what the other end said and was not acted on yet; beyond that it is passed over */
    size_t n_inbox;
    struct loop_timer *timer;
};

struct session {
    struct list node;
    struct core *core;
    struct peer_link *handle; /* NULL until the application knows of it */
    bool is_caller;
    enum session_state state;
    struct loop_timer *timer; /* of the state */

    uint8_t sid[RPC_SID];
    char remote_id[TEXT_ID];
    char names[RPC_MAX_WHO + 1], groups[RPC_MAX_WHO + 1]; /* callee: the caller's, as den signed */
    uint8_t remote_pk[KEY_SIZE], remote_spki[HASH_SIZE], grant_hash[HASH_SIZE];
    struct buf grant, dial, accept, their_ice, our_ice;
    struct buf who;    /* callee: what den says of the caller, not looked at yet; or empty */
    struct buf rekeys; /* how the other side's key became what it is: a msgpack array, or empty */
    char name[RPC_MAX_NAME + 1]; /* caller: that was dialled; "": an ID was */
    uint8_t named_pk[KEY_SIZE];  /* whose it is, as den signed */
    struct buf asked; /* caller: the capabilities, each with a NUL, while the name is looked up */
    uint8_t grant_sig[SIG_SIZE], dial_sig[SIG_SIZE], accept_sig[SIG_SIZE];
    struct rpc_grant g;    /* borrows from `grant` */
    bool is_known_to_den;  /* it may have to be told of the end */
    struct rpc_items caps; /* of the accept: they borrow from it, at the callee from `grant` */
    uint64_t
        ends_at; /* network time: live_until, or five minutes after a certificate's end; 0: none */
    uint64_t
        allowed_until;   /* network time: as whoever is called said, or den of it; 0: it did not */
    uint64_t close_code; /* when it does */
    bool must_ask;       /* the callee: policy, or the owner, wants a person to consent */
    bool is_closed_by_den;
    bool is_given_up;                    /* whoever knows said that it is over */
    char den_reason[SESSION_REASON + 1]; /* why, as den was told */

    struct cert *cert; /* ours, held */
    struct path *path;
    struct carrier_ice *carrier; /* the first direct one; NULL: another one took its place */
    struct restart restart;
    struct turned *turned;       /* turned.c; NULL: nothing of TURN has come */
    struct carrier_relay *relay; /* NULL: policy, or not begun */
    enum peer_path policy;
    bool may_relay; /* the grant is there, and checked */
    bool is_relay_over, has_ice_failed;
    uint64_t relay_renewed_at, relay_pause; /* relayed.c; clock_mono_ms() and ms */
    struct err relay_why;
    struct first *first; /* first.c; NULL: the link begins over a carrier */
    struct link *link;
    struct loop_timer *link_timer;
    bool is_pumping;
    struct list flows;
    uint64_t refreshed_at; /* the facts; clock_mono_ms() */

    uint64_t call;      /* caller: den.session.open */
    struct buf beacons; /* caller: those that came since, RPC_BEACON bytes each */
    unsigned n_tries;
    bool has_rung;
    uint64_t inv;                /* callee: the offer to answer; 0: answered */
    char *theirs[ICE_MAX_LATER]; /* candidates that came before their description */
    size_t n_theirs, n_theirs_later;
    bool theirs_ended;
    char *ours[ICE_MAX_LATER]; /* candidates that wait for the grant */
    size_t n_ours;
    bool ours_ended, ours_end_told;

    struct buf chain[PKI_MAX_CHAIN]; /* theirs, as it was found good */
    size_t n_chain;
    char leaf_subject[256], leaf_issuer[256];
    uint8_t leaf_serial[PKI_MAX_SERIAL];
    size_t leaf_serial_len;
    uint64_t our_reauths, their_reauths; /* how many went each way */
    uint64_t reauths_since;              /* clock_mono_ms(), and how many came since */
    unsigned n_reauths;
    struct buf reauth; /* their newest, which does not hold here yet */
    struct sas sas;
    struct {
        struct why_end theirs; /* as they say */
        uint64_t since;        /* clock_mono_ms(), and how many came since */
        unsigned n_taken, n_told;
        bool is_narrow; /* as they heard last */
        uint64_t up_at;
        struct loop_timer *timer; /* den hears of the path */
        char told[64];            /* as it heard last */
    } report;
    struct lan_end *lan;     /* NULL: den opened it */
    struct buf permit;       /* [P, signature] that came with it, to be kept when the link stands */
    struct explain *explain; /* NULL: no trial of pairs */
    uint64_t explained_at;   /* when the last one began; 0: none did */
    uint64_t told_rev_no;    /* the other end has these revocations from us */
};

struct session *session_new(struct core *core, bool is_caller);
void session_free(struct session *session);
OWN_FREEP(session, struct session)
struct session *session_find(struct core *core, struct view sid);
/* The one that has not ended, whose other end is `id`, the caller of a procedure; NULL with ERR_NOT_AUTHORIZED. */
struct session *session_with(struct core *core, struct view sid, struct view id, struct err *err);
size_t session_count(const struct core *core, bool unanswered_only);
/* Those that `id` called us for and that are not over. */
size_t session_count_with(const struct core *core, const char *id, size_t *ret_unanswered);

bool session_gather(struct session *session, struct err *err); /* our_ice is there afterwards */
/* All is signed and checked: start ICE with their description. */
bool session_connect(struct session *session, struct err *err);
void session_add_candidate(struct session *session, struct view line);
void session_end_candidates(struct session *session);
void session_tell_candidates(struct session *session);

/* It is over: LINK_DOWN with `why` (code NONE: nothing failed), the offer answered, den told, the rest freed later. */
void session_over(struct session *session, const struct err *why);
/* The same from our side, with a last word to the other one. */
void session_close(struct session *session, uint64_t code, const char *reason,
                   const struct err *why);
void session_gossip(struct core *core); /* the newest heartbeat to every link */
/* Whether this chain may be at the other end, with that key: what the link's own judge asks, and REAUTH. Notes the facts. */
bool session_judge(struct session *session, const struct view *chain, size_t n,
                   const uint8_t spki[HASH_SIZE], struct err *err);

/* The same without the revocation list, and without noting anything: whether its CA is still trusted. */
bool session_chain_holds(const struct session *session, const struct view *chain, size_t n,
                         struct err *err);

/* ---- reauth.c ---- */
void reauth_offer(struct session *session); /* our certificate, when it is newer than the link's */
void reauth_offer_all(struct core *core);
void reauth_take(struct session *session, struct view payload); /* LINK_REAUTH */
void reauth_judge_all(struct core *core);                       /* other CAs are trusted now */

/* The revocations above `known_no` that it was not told yet. */
void revoked_tell(struct session *session, uint64_t known_no);
void session_close_all(struct core *core);
void session_on_state(void *core, const struct rpc_event *event); /* den.session.on_state */
/* Its caller says that there will be no link, though it was accepted; `reason`: the code of the error. */
void session_is_over_there(struct session *session, struct view reason);
void session_put_heart(const struct core *core, struct buf *to);
void session_set_state(struct session *session, enum session_state state, uint64_t for_ms);
bool session_make_link(struct session *session, struct err *err);
void session_drop_link(struct session *session); /* that nobody has heard of */
void session_set_up(struct session *session);
void session_on_link_event(struct session *session, const struct link_event *event);
void session_refresh(struct session *session); /* the facts that the application reads */
/* Network time; by policy or by whoever was called; 0: none. */
uint64_t session_promised_end(const struct session *session);
bool session_may_open(const struct session *session, bool outgoing, struct view cap);

/* Gives up while connecting when no carrier is left that could come up. */
void session_look_for_path(struct session *session);

/* ---- turned.c ---- */
void turned_take(struct session *session, struct view value); /* den's TURN, or nil */
void turned_begin(struct session *session);
/* `peer.<id>.ice.update` for this path. */
void turned_update(struct session *session, struct view list, struct view more);
bool turned_has_candidate(const struct session *session); /* a server relays for this end */
bool turned_may_come(const struct session *session);      /* it is still tried, or up */
void turned_look(struct session *session);                /* now and then */
void turned_soon(struct session *session);                /* something happened */
void turned_wish(struct session *session); /* the machine's addresses are other ones */
void turned_end(struct session *session);
void session_set_no_path(const struct session *session, const char *when, struct err *err);

/* ---- restart.c ---- */
void restart_look(struct session *session); /* now and then */
void restart_soon(struct session *session); /* something happened below */
/* The addresses here may be other ones: a try at once, whatever stands. */
void restart_wish(struct session *session);
void restart_take(struct session *session, struct view data); /* LINK_ICE */
/* `peer.<id>.ice.update` with a number. */
void restart_update(struct session *session, struct view list, struct view more);
void restart_end(struct session *session);

/* ---- relayed.c ---- */
void relayed_look(struct session *session);  /* now and then: one that is dead is connected anew */
void relayed_moved(struct session *session); /* the machine's addresses are other ones */
void relayed_up(struct session *session);    /* the router is reached, maybe elsewhere */
void relayed_begin(struct session *session); /* connects, if policy allows it */
void relayed_open(struct session *session);  /* the grant is there */
void relayed_end(struct session *session);

/* ---- first.c ---- */
/* Caller, in front of its words to den: begins the link. */
void first_begin(struct session *session);
/* What is made to be sent goes along with the words that agree on the session; false: it does not. */
bool first_collect(struct session *session, const struct view *packets, size_t n, size_t *ret_went);
/* What came along: a msgpack array, or nothing. */
void first_take(struct session *session, struct view packets);
/* Callee, in front of its accept: answers what came. */
bool first_answer(struct session *session, struct err *err);
/* Appends the packets that go along: an array, maybe an empty one. */
void first_put(const struct session *session, struct buf *to);
void first_open(struct session *session); /* both know the grant: goes on over the router */
void first_go_on(struct session *session);
void first_look(struct session *session); /* now and then: whether it is needed any more */
void first_end(struct session *session);
void first_on_packets(void *core, const struct rpc_inv *inv); /* peer.<id>.session.packets */

/* ---- changed.c ---- */
/* known_check(), and where the key changed the statements about that (what den handed on, may be empty): taken when the old
 * key signed, else IDENTITY_CHANGED says what is known of it. */
bool changed_check(struct core *core, const char *id, const uint8_t pk[KEY_SIZE],
                   struct view rekeys, struct err *err);

/* ---- dial.c ---- */
void dial_note_beacon(struct core *core); /* a heartbeat came: for those that wait for an answer */
void dial_start(struct core *core, struct peer_link *handle, const char *id,
                const char *const *caps, enum peer_path policy);

/* Signs D for the session's number and these capabilities. */
void dial_sign(struct session *session, const struct rpc_items *caps);

/* ---- listen.c ---- */
bool listen_has_room(struct core *core, struct err *err); /* for one more call: DECLINED, BUSY */
void listen_on_lan(struct session *session);              /* whose dial was checked */
void listen_answer(struct session *session, bool accept, const char *const *caps,
                   uint64_t duration_ms /* 0: as policy has it */, const char *reason);
void listen_refuse(struct session *session,
                   const struct err *why);     /* the offer, if it is not answered */
void listen_continue(struct session *session); /* one that waited */

/* ---- stream.c ---- */
struct flow { /* one stream, the thread's half */
    struct list node;
    struct session *session;
    struct link_stream *stream;
    struct peer_stream *handle; /* held */
    bool end_told;              /* to the link */
};
void flow_opened(struct session *session, const struct link_event *event);
void flow_event(struct session *session, const struct link_event *event);
void flow_open(struct peer_stream *handle, const char *cap, const char *arg);
void flow_pump(struct flow *flow); /* both ways, as far as there is room */
/* On the application's thread, if the library's only waits: what was written goes out at once. False: nothing was done. */
bool flow_push_here(struct peer_stream *handle);
void flow_reset(struct flow *flow, uint64_t code);
void flow_free_all(struct session *session);

/* ---- compare.c ---- */

void compare_start(struct session *session);                   /* once; later calls do nothing */
void compare_take(struct session *session, struct view bytes); /* LINK_SAS */

/* ---- plug.c ---- */

/* The thread's end of the descriptor that stands for a stream. It goes by itself when all is said, or nobody listens. */
void plug_new(struct peer_stream *handle, int fd_taken);
void plug_turn(struct plug *plug); /* moves what can be moved; NULL is fine */
void plug_free_all(struct core *core);
/* After the link was called: its events, its timer. */
void session_pump(struct session *session);
/* Whether an application's thread, once it has entered the loop, may send over it. */
bool session_takes_here(const struct session *session);
/* After something was sent on an application's thread: false when the link has events too, for session_pump(). */
bool session_settle(struct session *session);
