/* SPDX-License-Identifier: Apache-2.0 */
/* What the application asks for, carried to the library's thread. */
#pragma once

#include "peer/session.h"
#include "peer/talk.h"

struct peer {
    struct hub hub;
    bool has_hub;
    struct loop *loop;
    struct core *core; /* the thread's; its snapshot alone is read here, under the lock */
    struct list links; /* that the application holds */
    struct list talks; /* likewise */
    unsigned n_talks[TALK_KINDS];
    struct hub_event *current; /* what peer_next_event() showed last */
};

struct errand {
    struct list node; /* in the core's backlog */
    struct peer *peer;
    struct peer_link *link;     /* held; may be NULL */
    struct peer_stream *stream; /* likewise */
    struct talk *talk;          /* likewise */
    uint32_t n_values;          /* in `data` */
    size_t n_charged;           /* to the hub */
    bool has_caps;
    char *caps[HUB_CAPS], *text, *argument;
    uint64_t code, duration_ms;
    int fd; /* owned; -1: none */
    enum peer_path policy;
    struct buf data;
    void (*run)(struct errand *errand);
};

/* At most 16, each a capability: INVALID_ARGUMENT. NULL is fine. */
bool errand_check_caps(const char *const *caps, struct err *err);
bool errand_check_path(enum peer_path path, struct err *err);
void errand_put_error(const struct err *err, struct peer_error *ret_error /* may be NULL */);

struct errand *errand_new(struct peer *peer, struct peer_link *link, struct peer_stream *stream);
void errand_copy_caps(struct errand *errand, const char *const *caps);
void errand_send(struct errand *errand_taken, void (*run)(struct errand *errand));
/* What concerns a link that is up: CLOSED when it is not. */
bool errand_send_up(struct peer_link *link, void (*run)(struct errand *errand),
                    struct peer_error *ret_error);

/* What waits for a slow connection goes on, or goes. */
void errand_drain(void *core);
void errand_drop_backlog(struct core *core);

/* These run on the library's thread. */
void errand_dial(struct errand *errand);
void errand_accept(struct errand *errand);
void errand_decline(struct errand *errand);
void errand_close(struct errand *errand);
void errand_open(struct errand *errand);
void errand_pump(struct errand *errand);
void errand_reset(struct errand *errand);
void errand_sas(struct errand *errand);
void errand_plug(struct errand *errand);
void errand_urge(struct errand *errand);
void errand_datagrams(struct errand *errand);
void errand_give_stream(struct errand *errand); /* the application is done with one of theirs */
