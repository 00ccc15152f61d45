/* SPDX-License-Identifier: Apache-2.0 */
/* libpeer: reach another machine by its ID and talk to it over a direct, encrypted link in which both
 * sides have proved who they are.
 *
 * When peer_fd() is readable, call peer_next_event() until it returns false. Nothing calls back into
 * the application. A thread of the library's own does the work; any one thread at a time may use a peer
 * and what belongs to it. No signal handler is set and SIGPIPE's disposition stays as it was. In a child of
 * fork(2) a peer fails (closed) and does nothing; its parent's goes on.
 *
 * Text is UTF-8 and NUL-terminated. Pointers in an event are valid until the next call of
 * peer_next_event() on the same peer. See libpeer(3), and one manual page per call. */
#ifndef WARREN_PEER_H
#define WARREN_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PEER_API __attribute__((visibility("default")))
#else
#define PEER_API
#endif

struct peer;              /* this machine, enrolled in one network */
struct peer_link;         /* the link to one other machine */
struct peer_stream;       /* an ordered, reliable stream of bytes inside a link */
struct peer_call;         /* a procedure that is being called */
struct peer_registration; /* a procedure, or a pattern of them, that this machine serves */
struct peer_invocation;   /* somebody's call of it, which waits for an answer */
struct peer_subscription; /* a topic, or a pattern of them, that this machine listens to */

/* ---- errors ----------------------------------------------------------------------------------- */

/* What failed. `name` is stable and the same on the wire and in --json ("not_reachable",
 * "identity_changed", "bad_certificate", ...); `text` says what exactly; `remedy` what to do about it. */
struct peer_error {
    char name[32];
    char text[320];
    char remedy[160];
};

/* ---- joining and the machine's own identity ------------------------------------------------------ */

/* Which paths a link may use. */
enum peer_path {
    PEER_PATH_DEFAULT, /* the peer's: `path` of its configuration */
    PEER_PATH_AUTO,    /* whatever works; direct where it can be, the router's relay meanwhile */
    PEER_PATH_DIRECT,  /* never over somebody else's relay; there may be no path then */
    PEER_PATH_RELAY, /* over the router's relay alone: the other side learns no address of this machine */
    PEER_PATH_TURN, /* over TURN alone */
};

struct peer_config {
    size_t size;           /* sizeof(struct peer_config), so that it can grow */
    const char *state_dir; /* mode 0700; NULL: $XDG_STATE_HOME/warren or ~/.local/state/warren */
    const char *join; /* the join string at first contact; NULL: use what the state folder knows.
                               * It is copied and wiped. With a state folder that has joined the same network it only
                               * replaces the hosts; another network is refused. */
    const char *const
        *capabilities;   /* what this side serves, NULL-terminated: "chat"; NULL: takes no calls */
    bool allow_loopback; /* use 127.0.0.1 as a candidate: two peers on one machine */
    const char *
        passphrase; /* of the identity key; NULL: none. At most 1024 bytes. It is copied; the copy is wiped by peer_free(),
                               * yours is yours to wipe. Not looked at where the key is a plain file; a key that is made is sealed
                               * with it */
    /* How the router and its relay are reached: "http://[USER:PASSWORD@]HOST:PORT" (CONNECT) or "socks5://...";
     * "": directly. NULL: as the environment says (https_proxy, all_proxy, no_proxy). Copied. */
    const char *proxy;
    enum peer_path
        path; /* of links that others open, and of dials that do not say; DEFAULT: AUTO */
};

/* Starts: reads or makes the state folder, connects, proves the key, gets ID and certificate; all of it in the background.
 * NULL and *ret_error: not_joined, exposed, invalid_argument, bad_config, busy (the folder is in use), system; locked: the key is
 * kept under a passphrase, ask for it and try again; bad_passphrase. Opening such a key takes part of a second. */
PEER_API struct peer *peer_new(const struct peer_config *config, struct peer_error *ret_error);
PEER_API void
peer_free(struct peer *peer); /* closes every link; NULL is fine; waits at most two seconds */
PEER_API int
peer_fd(const struct peer *peer); /* readable while an event waits; owned by the peer */

PEER_API bool peer_is_online(const struct peer *peer); /* connected to the router now */

struct peer_identity { /* what this machine knows of itself; all texts "" before they are known */
    char id[16];       /* "456000" */
    char network[201];
    char public_key[65];                                    /* Ed25519, hex */
    char fingerprint[65];                                   /* SHA-256 of the public key, hex */
    char subject[256], issuer[256], names[256], serial[64]; /* the certificate's */
    uint64_t not_before, not_after;                         /* ms since 1970 */
};
PEER_API bool peer_identity(const struct peer *peer,
                            struct peer_identity *ret_identity); /* false: no ID yet */
/* From the state folder alone, without connecting. */
PEER_API bool peer_identity_load(const char *state_dir, struct peer_identity *ret_identity,
                                 struct peer_error *ret_error);
/* The certificate with its chain as PEM, leaf first, and the network's root as PEM. Copies up to `size` bytes with a NUL and
 * returns the length needed without it, as snprintf does; 0 when there is none. */
PEER_API size_t peer_chain_pem(const struct peer *peer, char *to, size_t size);
PEER_API size_t peer_root_pem(const struct peer *peer, char *to, size_t size);
/* The newest manifest (what the root signed: the network's CAs and the keys of den and router) for those who want to
 * check it themselves. Signature `i` is ECDSA P-384 with SHA-384 in DER, by the root given beside it as PEM. Copies as
 * above; false when there are fewer signatures, or a place is too small. */
PEER_API size_t peer_manifest(const struct peer *peer, void *to, size_t size);
struct peer_manifest_signature {
    unsigned char signature[160];
    size_t signature_size;
    char signer_pem[4096];
};
PEER_API bool peer_manifest_signature(const struct peer *peer, size_t i,
                                      struct peer_manifest_signature *ret_signature);

/* ---- events --------------------------------------------------------------------------------------- */

enum peer_event_type {
    PEER_EVENT_JOINED = 1, /* ID and certificate are there: ready to dial and be dialled */
    PEER_EVENT_ONLINE,     /* connected to the router (again) */
    PEER_EVENT_OFFLINE, /* lost the router, or got no certificate or time: peer_is_online() says which. It comes back by
                            * itself: error, pause_ms */
    PEER_EVENT_FAILED, /* this peer cannot go on: error. Free it */

    PEER_EVENT_INCOMING, /* somebody calls: link, remote_id, capabilities; answer with accept or decline */
    PEER_EVENT_RINGING, /* our dial reached the other side, which is being asked */
    PEER_EVENT_LINK_UP, /* the link stands and both ends are proved: peer_link_facts() */
    PEER_EVENT_LINK_DOWN, /* it ended or never began: error; the handle is gone after the next call, and
                             * those of its streams with it, without a STREAM_CLOSED */
    PEER_EVENT_PATH,      /* the path changed: peer_link_facts() */

    PEER_EVENT_STREAM,   /* the other side opened one: stream, capability, argument */
    PEER_EVENT_READABLE, /* peer_stream_read() gives bytes or the end: read until it returns 0 */
    PEER_EVENT_WRITABLE, /* room is back */
    PEER_EVENT_STREAM_CLOSED, /* done in both directions or reset: the handle is gone after the next call */
    PEER_EVENT_DATAGRAM, /* data, size */
    PEER_EVENT_REFUSED, /* a call was refused before you were asked, for a reason that you should know: remote_id, error
                             * (identity_changed: it may be somebody else, or the same person with a new key) */
    PEER_EVENT_ALARM, /* den contradicts itself: error. Both statements are in the state folder's `alarm`; there are
                             * no new links while that file is there. Links that are up go on */

    PEER_EVENT_RESULT, /* call, message; with message->progress more follows, else the handle is gone after the next
                             * call. When it failed: error, and message->uri if somebody answered so */
    PEER_EVENT_REGISTRATION, /* registration: it stands (again); or error: it does not, and is tried again */
    PEER_EVENT_INVOCATION, /* somebody calls: invocation, registration, message; answer it */
    PEER_EVENT_INTERRUPTED, /* invocation: its caller does not wait any more: error says why. No answer is
                             * wanted; the handle is gone after the next call */
    PEER_EVENT_SUBSCRIPTION, /* subscription: as REGISTRATION */
    PEER_EVENT_MESSAGE,      /* something was published: subscription, message */
    PEER_EVENT_PUBLISHED, /* an acknowledged publication went out: publication; or error: it did not */
    PEER_EVENT_WAITING, /* join: an operator has to let this machine in: code, error (pending), pause_ms. It goes on by
                             * itself, also after a restart with config.join NULL */
    PEER_EVENT_REKEYED, /* remote_id has a new identity key, its old one signed for it: known_peers has it now. With
                             * remote_id NULL: this machine's own key changed (also of a peer_rekey() of an earlier run); this peer begins
                             * nothing more: free it and make it anew. Or error: it did not (yet); it is tried again */
    PEER_EVENT_NAMES,  /* the outcome of peer_name_...(): names, or error */
    PEER_EVENT_CLONED, /* another process came with this machine's key and was refused: error (clone). Once a minute at most. The
                             * other one has OFFLINE with the same error */
    PEER_EVENT_NAME_MOVED, /* a name that is being dialled meant another ID the last time: remote_id, whom it means now, and error
                             * (name_moved) with both. The dial goes on; end it with peer_link_close() */
    PEER_EVENT_SAS, /* link, code: four characters that two people compare on another way. With a program between the two machines theirs
                            * would be others, but for one try in a million. Comes once a link, to both ends, when one of them asked */
    PEER_EVENT_CLOCK, /* this machine's clock is more than five minutes from the network's signed time: error (clock_skew) names
                             * both. Once, until it moves. libpeer goes by network time and goes on */
    PEER_EVENT_FINDING,  /* finding, of peer_examine(), or with `link` of peer_link_examine() */
    PEER_EVENT_EXAMINED, /* that was the last of them; with `link`: of that link */
};

/* One line of what an examination found. */
enum peer_verdict {
    PEER_GOOD = 1,
    PEER_NOTE, /* neither good nor bad: something is not there, or could not be found out */
    PEER_BAD,  /* `remedy` says what would make it better */
};
#define PEER_MAX_FINDING_FACTS 12
struct peer_finding {
    enum peer_verdict verdict;
    char subject
        [24]; /* what it is about: "router", "clock", "udp", "nat", "turn", "pair", ...; stable */
    char text[320];   /* for people */
    char remedy[240]; /* "" unless there is something to do */
    size_t n_facts;   /* the same for programs; the names are stable */
    struct peer_finding_fact {
        char name[24], value[104];
    } facts[PEER_MAX_FINDING_FACTS];
};

/* Values of a call, an answer or a publication, as msgpack: `args` an array, `kwargs` a map whose keys are text; NULL and 0: none.
 * At most PEER_MAX_VALUES bytes together, 32 levels deep. */
#define PEER_MAX_VALUES (1024 * 1024 - 4096)
struct peer_values {
    const void *args;
    size_t args_size;
    const void *kwargs;
    size_t kwargs_size;
};
struct peer_message {
    struct peer_values values;
    const char
        *uri; /* INVOCATION: the procedure; MESSAGE: the topic; RESULT: the error's URI; or "" */
    /* INVOCATION, MESSAGE: who calls or publishes, as the router proved it; "" and 0 when it is the router itself. */
    const char *remote_id, *remote_role;
    uint64_t remote_session;
    bool progress; /* RESULT: more follows; INVOCATION: its caller takes results in parts */
    bool retained; /* MESSAGE: it was published before we subscribed */
    uint64_t
        n_lost; /* RESULT with progress, MESSAGE: so many before it were dropped, because nobody fetched them */
};

struct peer_name {
    char name[129];   /* "alice-laptop"; "alice@corp.example" when an administrator assigned it */
    char id[16];      /* whose it is */
    uint64_t name_no; /* rises with each change */
    bool is_assigned;
    uint64_t released_at; /* ms since 1970; 0: in use */
};

struct peer_event {
    enum peer_event_type type;
    struct peer_link *link;
    struct peer_stream *stream;
    const char *
        remote_id; /* INCOMING: the caller's proved ID; REFUSED: the caller's ID, as den vouches for it */
    const char *const *capabilities; /* INCOMING: what it asks for; NULL-terminated */
    bool must_ask;                   /* INCOMING: policy, or the owner, wants a person to consent */
    const char *capability, *argument; /* STREAM */
    const void *data;                  /* DATAGRAM */
    size_t size;
    uint64_t pause_ms; /* OFFLINE: until the next try */
    struct peer_error
        error; /* OFFLINE, FAILED, LINK_DOWN, STREAM_CLOSED, REFUSED, ALARM; name "" when nothing failed */

    /* RESULT and what follows it; NULL or 0 in all else */
    struct peer_call *call;
    struct peer_registration *registration;
    struct peer_invocation *invocation;
    struct peer_subscription *subscription;
    uint64_t publication; /* PUBLISHED: its number in the network */
    void *user; /* what the options of the call, registration, subscription or publication had */
    const struct peer_message *message;
    const char *code;              /* WAITING: what the operator has to see too; SAS */
    const struct peer_name *names; /* NAMES */
    size_t n_names;
    const struct peer_finding *finding; /* FINDING */
    const char *remote_names,
        *remote_groups; /* INCOMING: the caller's, each with commas between, as den signed them; "": none, or den was not in it */
};
PEER_API bool peer_next_event(struct peer *peer, struct peer_event *ret_event);

/* Looks at this machine and its way into the network: state folder, addresses, proxy, router and its certificate, clock, NAT, TURN servers,
 * relay, and the certificate of its own. FINDINGs follow, then EXAMINED, after 40 seconds at most; it waits ten for the router, and 25 where one of its addresses answers. Asked
 * for again meanwhile it goes on: one EXAMINED ends both. False: closed. */
PEER_API bool peer_examine(struct peer *peer, struct peer_error *ret_error);
/* The same by the program that uses the state folder now, for another one of its owner (peer_new() said busy), who has no event of
 * it. A descriptor: each recv(2) gives one struct peer_finding, nothing at the end; close it. -1: busy (that program has no such door, or
 * examines already: the descriptor then ends without a finding), not_joined. */
PEER_API int peer_examine_beside(const char *state_dir, struct peer_error *ret_error);

/* ---- links ------------------------------------------------------------------------------------------ */

/* Dials an ID ("456000", spaces allowed) or a name, whose meaning den has to have signed, and asks for these capabilities (NULL-terminated). The outcome comes as events.
 * NULL: invalid_argument, not_joined. */
PEER_API struct peer_link *peer_dial(struct peer *peer, const char *id,
                                     const char *const *capabilities, struct peer_error *ret_error);
struct peer_dial_options {
    size_t size; /* sizeof(struct peer_dial_options), so that it can grow */
    enum peer_path path;
};
/* The same with options; NULL: none. */
PEER_API struct peer_link *peer_dial_with(struct peer *peer, const char *id,
                                          const char *const *capabilities,
                                          const struct peer_dial_options *options,
                                          struct peer_error *ret_error);
/* Answers INCOMING; with fewer capabilities than asked if `capabilities` is not NULL. */
PEER_API bool peer_link_accept(struct peer_link *link, const char *const *capabilities,
                               struct peer_error *ret_error);
#define PEER_MAX_DURATION_MS (400ULL * 24 * 3600 * 1000)
struct peer_accept_options {
    size_t size; /* sizeof(struct peer_accept_options), so that it can grow */
    /* The link ends after so long at the latest, on both ends and for den, whatever policy allows beyond that: 0: as policy
     * has it, 400 days at most. This machine's own clock ends it, nobody else is needed for that. */
    unsigned long long duration_ms;
};
/* The same with options; NULL: none. */
PEER_API bool peer_link_accept_with(struct peer_link *link, const char *const *capabilities,
                                    const struct peer_accept_options *options,
                                    struct peer_error *ret_error);
#define PEER_MAX_REASON 100 /* bytes; what is longer is cut */
PEER_API void peer_link_decline(struct peer_link *link, const char *reason);
PEER_API void peer_link_close(struct peer_link *link, const char *reason); /* LINK_DOWN follows */

struct peer_link_facts {
    char remote_id[16];
    char tls_version[16], cipher[40], alpn[24];
    char verified_name[256]; /* "123456.corp.example", as the judge found it */
    char remote_subject[256], remote_issuer[256];
    char path_kind[16];                          /* "direct", "turn", "relay" */
    char path_local[80], path_remote[80];        /* "192.0.2.1:40000 host" */
    uint64_t rtt_us, bytes_sent, bytes_received; /* of packets, all told */
    uint64_t packets_sent, packets_received;
    uint64_t under_way;  /* bytes sent and neither acknowledged nor lost */
    uint64_t window;     /* bytes that may be under way (RFC 9002, 7) */
    uint64_t rate;       /* bytes a second that the path delivers, as it is estimated; 0: unknown */
    size_t datagram_max; /* what peer_datagram_send() takes now */
    uint64_t
        ends_at; /* ms since 1970: when it ends at the latest, by policy or by whoever was called; 0: whenever */
    /* The statements behind this link and their signatures, borrowed from the link: for audits. */
    const void *grant, *grant_signature, *dial, *dial_signature, *accept, *accept_signature;
    size_t grant_size, dial_size, accept_size; /* signatures are 64 bytes */
    char grant_key[65], dial_key[65],
        accept_key[65]; /* Ed25519 keys that made them, hex: den's, the caller's, the callee's */
    const char *grant_text; /* for people: who, whom, what, until when */
    uint64_t
        packets_lost; /* of ours, with bytes of streams or a datagram: those that were taken for lost (RFC 9002, 6.1) */
};
PEER_API bool peer_link_facts(const struct peer_link *link, struct peer_link_facts *ret_facts);
/* Asks for the link's short authentication string: both applications get SAS. Once a link; later calls do nothing. False: closed. */
PEER_API bool peer_link_sas(struct peer_link *link, struct peer_error *ret_error);
/* Looks at a link that is up: what NAT each end has, as it says itself; every pair of addresses, tried now, with its round trip; which path is
 * used and why no better one; what would help. FINDINGs with `link`, then EXAMINED, after about four seconds. Asked for again meanwhile it goes on: one EXAMINED ends both. False: closed. */
PEER_API bool peer_link_examine(struct peer_link *link, struct peer_error *ret_error);
PEER_API void peer_link_set_user(struct peer_link *link, void *user);
PEER_API void *peer_link_user(const struct peer_link *link);

/* ---- streams ---------------------------------------------------------------------------------------- */

/* Opens a stream for one of the session's capabilities. The argument is at most 1024 bytes; NULL is "". */
PEER_API struct peer_stream *peer_stream_open(struct peer_link *link, const char *capability,
                                              const char *argument, struct peer_error *ret_error);
PEER_API struct peer_link *peer_stream_link(const struct peer_stream *stream);
/* Takes up to `size` bytes and returns how many; fewer than `size`: wait for WRITABLE. */
PEER_API size_t peer_stream_write(struct peer_stream *stream, const void *bytes, size_t size);
PEER_API void peer_stream_finish(
    struct peer_stream *stream); /* nothing more from us; what was taken still arrives */
/* Returns how many bytes were copied; 0 with *ret_end false: nothing now. Reading is what gives the other side credit. */
PEER_API size_t peer_stream_read(struct peer_stream *stream, void *to, size_t size, bool *ret_end);
PEER_API void peer_stream_reset(struct peer_stream *stream, uint64_t code);
/* Which of this side's streams go first when the path cannot take all: 0 is the most urgent, 7 the least (RFC 9218, section 4.1), 3 what
 * they begin with; those alike take turns. What this side sends alone: the other side has its own word. */
PEER_API void peer_stream_set_urgency(struct peer_stream *stream, unsigned urgency);
/* How much may wait here to be sent, in bytes: peer_stream_write() takes no more than `high` at a time, and WRITABLE comes when `low` or
 * fewer are left. At first, and at most, PEER_MAX_MARK and half of it. False: invalid_argument. */
#define PEER_MAX_MARK (256 * 1024)
PEER_API bool peer_stream_set_marks(struct peer_stream *stream, size_t high, size_t low,
                                    struct peer_error *ret_error);
/* Messages on a stream: each is its size in 4 bytes, big-endian, and as many bytes. A stream carries messages or bytes, as both sides agree.
 * Writing takes all or nothing. False: limit (there is no room now, wait for WRITABLE), too_large (over PEER_MAX_MESSAGE, or the high mark
 * less 4), closed. */
#define PEER_MAX_MESSAGE (PEER_MAX_MARK - 4)
PEER_API bool peer_stream_write_message(struct peer_stream *stream, const void *bytes, size_t size,
                                        struct peer_error *ret_error);
/* True: one is in `to`, its size in *ret_size (which may be 0). False with *ret_error's name "": none is whole yet, or with *ret_end the other side
 * sends no more. False and too_large: the next one has *ret_size bytes and stays, if it is at most PEER_MAX_MESSAGE; bad_wire: the stream ended within one. Reset the
 * stream then. */
PEER_API bool peer_stream_read_message(struct peer_stream *stream, void *to, size_t size,
                                       size_t *ret_size, bool *ret_end,
                                       struct peer_error *ret_error);
/* The stream as a connected socket (AF_UNIX, SOCK_STREAM), for code that wants a descriptor: what is written to it is sent, what comes can
 * be read from it, shutdown(2) ends one direction, close(2) both. It is the caller's to close. The stream's READABLE and WRITABLE come no
 * more, its reading and writing calls do nothing. STREAM_CLOSED comes still, and says whether it ended well; the descriptor stays readable until all that came was read.
 * -1: closed, invalid_argument (it has one), limit (no descriptors are left). */
PEER_API int peer_stream_fd(struct peer_stream *stream, struct peer_error *ret_error);
struct peer_stream_facts {
    size_t size;      /* sizeof(struct peer_stream_facts), set by the caller, so that it can grow */
    uint64_t written; /* bytes that peer_stream_write() or the descriptor took */
    uint64_t read;    /* bytes that were read */
    size_t waiting_out, waiting_in; /* bytes that wait here, to be sent and to be read */
};
PEER_API bool peer_stream_facts(const struct peer_stream *stream,
                                struct peer_stream_facts *ret_facts);
PEER_API void peer_stream_set_user(struct peer_stream *stream, void *user);
PEER_API void *peer_stream_user(const struct peer_stream *stream);
/* Unreliable; where too many wait the oldest is dropped. False: too_large for the path, closed. */
PEER_API bool peer_datagram_send(struct peer_link *link, const void *bytes, size_t size,
                                 struct peer_error *ret_error);

/* ---- procedures and topics of the network ------------------------------------------------------------- */

/* Through the router, which proves to each side who the other one is; what may be called and published is the network's policy.
 * `values` may be NULL, and `options` too. Options begin with `size`, sizeof(struct ...), so that they can grow. Nothing waits:
 * the outcome comes as an event. Errors of all of these: invalid_argument, too_large, and limit: what waits is bounded (1024
 * calls, 256 registrations, 256 subscriptions, 1024 publications to be acknowledged, 16 MiB to be sent). */

struct peer_call_options {
    size_t size;
    uint64_t timeout_ms; /* 0: 60 000; between two results, when there are several */
    bool progress;       /* wants results in parts */
    void *user;
    /* For procedures of den that change something: kwargs alone, at most 64 KiB, go as [body, R, signature], a request that this
     * machine's identity key signs for that procedure and that body, once. The router can neither make nor change nor repeat one. */
    bool is_signed;
};
/* RESULT follows, in any case. A call in flight when the router is lost has failed (network_failure): whether it was carried out is
 * not known, and it is never made twice. */
PEER_API struct peer_call *peer_call(struct peer *peer, const char *procedure,
                                     const struct peer_values *values,
                                     const struct peer_call_options *options,
                                     struct peer_error *ret_error);
enum peer_cancel {
    PEER_CANCEL_KILL,       /* stop it, and wait until whoever serves it says so */
    PEER_CANCEL_KILLNOWAIT, /* stop it */
    PEER_CANCEL_SKIP,       /* let it go on, for nobody */
};
/* RESULT follows: canceled, unless the answer was faster. */
PEER_API void peer_call_cancel(struct peer_call *call, enum peer_cancel mode);

struct peer_registration_options {
    size_t size;
    const char *match; /* "exact" (NULL), "prefix", "wildcard" (empty components are anything) */
    const char *
        invoke; /* "single" (NULL), "roundrobin", "random", "first", "last": who of several is called */
    void *user;
};
/* Serves it until peer_unregister(), in every connection to the router: REGISTRATION says how that stands. A peer registers below
 * peer.<its ID>. and what the network opens. */
PEER_API struct peer_registration *peer_register(struct peer *peer, const char *procedure,
                                                 const struct peer_registration_options *options,
                                                 struct peer_error *ret_error);
/* The handle is gone; invocations that wait for an answer can still be given one. */
PEER_API void peer_unregister(struct peer_registration *registration);
/* The answer: the handle is gone, unless it fails (invalid_argument, too_large, limit). What an interrupted one is answered is
 * dropped. */
PEER_API bool peer_answer(struct peer_invocation *invocation, const struct peer_values *values,
                          struct peer_error *ret_error);
/* A part of it, for a caller that takes parts: without effect when message->progress was false. */
PEER_API bool peer_answer_part(struct peer_invocation *invocation, const struct peer_values *values,
                               struct peer_error *ret_error);
/* An error as the answer: a URI such as "com.example.no_paper". The handle is gone. */
PEER_API bool peer_refuse(struct peer_invocation *invocation, const char *error_uri,
                          const struct peer_values *values, struct peer_error *ret_error);

struct peer_subscription_options {
    size_t size;
    const char *match; /* as above */
    bool get_retained; /* what was published with `retain` comes at once */
    void *user;
};
PEER_API struct peer_subscription *peer_subscribe(struct peer *peer, const char *topic,
                                                  const struct peer_subscription_options *options,
                                                  struct peer_error *ret_error);
PEER_API void peer_unsubscribe(struct peer_subscription *subscription); /* the handle is gone */

struct peer_publish_options {
    size_t size;
    bool acknowledge; /* PUBLISHED follows */
    bool retain;      /* kept by the router, the newest of each topic, for those who come later */
    bool include_me;  /* ourselves too, if we subscribe */
    const char *const
        *eligible; /* to these IDs alone, NULL-terminated, at most 256; NULL: everybody */
    void *user;
};
/* Also network_failure: not connected. Without `acknowledge` nobody says whether it was allowed. */
PEER_API bool peer_publish(struct peer *peer, const char *topic, const struct peer_values *values,
                           const struct peer_publish_options *options,
                           struct peer_error *ret_error);

/* One value as JSON to msgpack and back, for programs without a msgpack library. Binary is a string "\u0000" and base64. The caller
 * gives the result to free(). NULL: invalid_argument ("byte 17: ..."), too_large. */
PEER_API void *peer_msgpack_from_json(const char *json, size_t size, size_t *ret_size,
                                      struct peer_error *ret_error);
PEER_API char *peer_json_from_msgpack(const void *bytes, size_t size, struct peer_error *ret_error);
/* What this machine heard last of the network's audit, from den and signed: the number of its newest entry and the head of its
 * chain. An audit that does not contain that entry is not the one that den showed then. Without a connection. */
struct peer_witness {
    uint64_t number, at; /* 0: nothing was written yet; at: ms since 1970 */
    char head[65];       /* hexadecimal */
};
PEER_API bool peer_witness_load(const char *state_dir, struct peer_witness *ret_witness,
                                struct peer_error *ret_error);

/* Draws an enrolment token, for a program that administers a network: den is told its public key (64 hexadecimal digits), and the
 * token, a secret, stands behind a dot at the end of a join string. Wipe it. */
PEER_API void peer_token_new(char ret_token[32], char ret_public_key[65]);

/* ---- certificates, without a connection ------------------------------------------------------------- */

struct peer_chain_question {
    const void *chain; /* PEM, the leaf first; or the leaf alone as DER */
    size_t chain_size;
    const void *roots; /* PEM, however many; or one as DER */
    size_t roots_size;
    const void
        *crl; /* PEM or DER; size 0: none. When there is one it must be the issuer's, and fresh */
    size_t crl_size;
    const char *name; /* exactly this one: "456000.corp.example" */
    uint64_t at;      /* ms since 1970; 0: now */
    bool is_client;   /* as a TLS client; else as a server */
    bool
        is_general; /* a chain of another CA, by the general rules; else by a Warren network's own profile */
};
struct peer_chain_facts {
    char subject[256], issuer[256], names[256], serial[64];
    uint64_t not_before, not_after; /* ms since 1970 */
};
/* Asks the judge that links ask. There is no manifest here: the intermediates are those that the chain brings. `ret_facts`,
 * about the leaf, may be NULL. False with the reason: invalid_argument: something
 * that was given cannot be read, nothing was judged; else the chain is bad: bad_certificate, expired, revoked, name_mismatch, bad_signature ... */
PEER_API bool peer_verify_chain(const struct peer_chain_question *question,
                                struct peer_chain_facts *ret_facts, struct peer_error *ret_error);

struct peer_export {
    const char *state_dir; /* NULL: the default */
    const char *path;      /* a new file */
    bool
        is_trust; /* the network's roots; else this machine's certificate with its chain and key, mode 0600 */
    bool is_pkcs12; /* else PEM */
    const char *
        passphrase; /* of the key: 12 characters or more. PKCS#12 needs one, for roots too (6 or more). NULL: none */
};
/* For other programs: Java, NSS, GnuTLS, OpenSSL. False: not_joined, not_found, already_exists, invalid_argument. */
PEER_API bool peer_export(const struct peer_export *wanted, struct peer_error *ret_error);
/* ---- names, and keys that change ---------------------------------------------------------------------- */

/* A readable name for this machine's ID; given up, so that it lies idle; given to another ID; those that this machine has,
 * with those that it released. The outcome is PEER_EVENT_NAMES. False: invalid_argument, not_joined. */
PEER_API bool peer_name_claim(struct peer *peer, const char *name, struct peer_error *ret_error);
PEER_API bool peer_name_release(struct peer *peer, const char *name, struct peer_error *ret_error);
PEER_API bool peer_name_transfer(struct peer *peer, const char *name, const char *id,
                                 struct peer_error *ret_error);
PEER_API bool peer_name_list(struct peer *peer, struct peer_error *ret_error);

/* A new identity key for this machine, which the old one signs. PEER_EVENT_REKEYED follows. What is under way when the program ends goes on when it is started again. */
PEER_API bool peer_rekey(struct peer *peer, struct peer_error *ret_error);

/* What the owner of this machine wants of calls, whatever the network's policy says. Policy can ask for more, never for less, unless the
 * machine is unattended: then NONE and ASK leave it to policy. DENY: no call is taken. Kept in the state folder (NULL: the default one);
 * holds from the next call on, also for a program that is using the folder. */
enum peer_consent { PEER_CONSENT_NONE, PEER_CONSENT_ASK, PEER_CONSENT_DENY };
PEER_API bool peer_consent_get(const char *state_dir, enum peer_consent *ret_floor,
                               bool *ret_is_unattended, struct peer_error *ret_error);
PEER_API bool peer_consent_set(const char *state_dir, enum peer_consent floor, bool is_unattended,
                               struct peer_error *ret_error);
/* The owner's longest time for a link that somebody else opened, in ms; 0: none. It holds beside policy's and what
 * peer_link_accept_with() says: the shortest counts. */
PEER_API bool peer_consent_get_longest(const char *state_dir, unsigned long long *ret_ms,
                                       struct peer_error *ret_error);
PEER_API bool peer_consent_set_longest(const char *state_dir, unsigned long long ms,
                                       struct peer_error *ret_error);

/* The changed key that was refused last for `id`: fingerprints of the old and the new one, SHA-256 in hex. False: not_found. */
PEER_API bool peer_known_offered(const char *state_dir, const char *id, char ret_old[65],
                                 char ret_new[65], struct peer_error *ret_error);
/* From now on `id` has the key with this fingerprint, which peer_known_offered() showed. Works while a peer uses the
 * folder. */
PEER_API bool peer_known_accept(const char *state_dir, const char *id, const char *fingerprint,
                                struct peer_error *ret_error);

/* Keeps this machine's identity key under a passphrase (Argon2id, XChaCha20-Poly1305): `old` NULL: it is a plain file now; `next`,
 * of 12 characters or more, NULL: it shall be one again. Both are read during the call alone, and yours to wipe. The folder must not be in use. What is
 * interrupted is whole, before or after. False: bad_passphrase and locked (then nothing has changed), busy, not_joined,
 * invalid_argument. */
PEER_API bool peer_passphrase(const char *state_dir, const char *old, const char *next,
                              struct peer_error *ret_error);

/* Writes this machine's identity to a new file under a passphrase of 12 characters or more (Argon2id, XChaCha20-Poly1305), mode 0600, and marks the
 * folder as moved: nothing uses it any more. False: already_exists, busy, not_joined, invalid_argument. */
PEER_API bool peer_move_out(const char *state_dir, const char *file, const char *passphrase,
                            struct peer_error *ret_error);
/* Takes such a file into a state folder that is new, or from which this identity was moved away. False: bad_passphrase,
 * already_exists, bad_config. */
PEER_API bool peer_move_in(const char *state_dir, const char *file, const char *passphrase,
                           struct peer_error *ret_error);

PEER_API const char *peer_version(void);

#ifdef __cplusplus
}
#endif
#endif
