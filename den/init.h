/* SPDX-License-Identifier: Apache-2.0 */
/* `warren-den init`: a network from nothing. All or nothing: everything is made in a folder beside the one that is asked
 * for, and renamed at the end. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

struct init_order {
    /* `network`, `request_path`: NULL with `root_response`, of what waits */
    const char *dir, *network, *request_path;
    /* Of a root on another machine: what it is asked goes to the one, and a second time its answer is read from the other. */
    const char *root_request, *root_response;
    const char *answer_path; /* NULL: DIR/router.answer */
    int passphrase_fd; /* of the root's key, or of its token's PIN. PASSPHRASE_PROMPT: asked for */
    /* PKCS#11 URIs: where the keys are, or are made when there are none; NULL: in files. What goes into den.conf. */
    const char *root_key, *intermediate_key, *token_paths;
    const char *pin_fd; /* as keys_ask_pin_of() has it */
    uint64_t now;
};
/* Appends to *ret_text, for people, what was made and what comes next. ALREADY_EXISTS when there is anything in DIR. With `root_request` only what the root is asked is made, and keys that wait in DIR.founding. */
bool init_network(const struct init_order *order, struct buf *ret_text, struct err *err);

/* policy.yaml as a network starts with: comments alone, so everything is forbidden. */
extern const char init_policy[];
struct init_made { /* for the text; borrowed */
    const char *dir, *network, *host, *answer_path, *pin;
    const char *root_token,
        *intermediate_token; /* what is to be said about the keys there; NULL: in files */
    bool is_root_elsewhere;
    uint64_t root_until, intermediate_until, router_until, manifest_until, join_until;
};
void init_put_text(const struct init_made *made, struct buf *to);
void init_put_waiting(const char *dir, const char *wait, const char *request, bool has_pin,
                      struct buf *to);
