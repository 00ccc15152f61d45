/* SPDX-License-Identifier: Apache-2.0 */
/* Stands between clients that speak JSON and the core, which speaks msgpack alone. No I/O; one for
 * all connections. */
#pragma once

#include "rpc/rpc.h"

struct transcode;

/* `max_in`: a client's message as msgpack; `max_out`: ours to it as JSON. */
struct transcode *transcode_new(size_t max_in, size_t max_out);
void transcode_free(struct transcode *t);
OWN_FREEP(transcode, struct transcode)

/* What a client said, as msgpack; valid until the next call. */
bool transcode_in(struct transcode *t, struct view text, struct view *ret_message, struct err *err);

/* Not every msgpack has JSON, and it can be much longer. Whoever caused that is told; the client
 * that cannot be told anything of it is not troubled. */
enum transcoded {
    TRANSCODED,          /* send the text */
    TRANSCODED_REPLACED, /* an answer: send the text, which is an ERROR in its place */
    TRANSCODED_REFUSED,  /* an INVOCATION: hand the core the text, which is the ERROR (msgpack) that
                            the client answers; send nothing */
    TRANSCODED_DROPPED,  /* an event, or one of several results: send nothing */
    TRANSCODED_FATAL,    /* anything else: the session cannot go on */
};
/* What the core says to a client. Its text is valid until the next call. `why` is set for all but
 * the first. */
enum transcoded transcode_out(struct transcode *t, struct view message, struct view *ret_text,
                              struct err *why);
