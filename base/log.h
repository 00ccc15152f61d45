/* SPDX-License-Identifier: Apache-2.0 */
/* key=value lines on standard error, for programs; libraries return errors instead. One line where
 * a decision is taken. URIs and IDs are logged; keys, proofs, tokens and payloads never. */
#pragma once

#include "base/buf.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_open(const char *program, enum log_level lowest);

/* log_event(LOG_INFO, "joined", "id=%s address=%" PRIu64, id, address): the format's own text is
 * keys and plain values; text from afar goes through log_quote(). */
void log_event(enum log_level level, const char *event, const char *fmt, ...) _printf_(3, 4);

/* `text` escaped for one value, in quotes where it needs them. The result lives until the eighth next
 * call of the same thread; long text is cut at 200 characters. */
const char *log_quote(struct view text);
const char *log_quote_text(const char *text);
