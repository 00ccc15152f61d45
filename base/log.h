/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of key=value or of JSON on standard error, for programs; libraries return errors instead. One line where
 * a decision is taken. URIs and IDs are logged; keys, proofs, tokens and payloads never. */
#pragma once

#include "base/buf.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

void log_open(const char *program, enum log_level lowest);
/* The same keys as one JSON object a line; all values are strings. */
void log_set_format(enum log_format format);
/* "text" or "json"; false: neither. */
bool log_read_format(const char *text, enum log_format *ret_format);

/* log_event(LOG_INFO, "joined", "id=%s address=%" PRIu64, id, address): the format's own text is
 * keys and plain values; text from afar goes through log_quote(). When nobody takes what is written
 * it is left out, after a moment; "log_lost" says how many lines as soon as there is room. */
void log_event(enum log_level level, const char *event, const char *fmt, ...) _printf_(3, 4);

/* Until log_release() lines of this thread wait for each other, and are written together, as many as one write of a pipe
 * takes whole: for whoever says the same of hundreds at a time. Nothing that may end the program stands between the two. */
void log_hold(void);
void log_release(void);

/* `text` escaped for one value, in quotes where it needs them. The result lives until the eighth next
 * call of the same thread; long text is cut at 200 characters. */
const char *log_quote(struct view text);
const char *log_quote_text(const char *text);

/* Appends `fields`, a line's key=value pairs, as members of a JSON object: "key":"value",... */
void log_put_json(struct view fields, struct buf *to);
