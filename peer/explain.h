/* SPDX-License-Identifier: Apache-2.0 */
/* Why a link's path is what it is: what the ends say of themselves (report.c), and a trial of all pairs of addresses (explain.c). */
#pragma once

#include "ice/pairs.h"
#include "peer/finding.h"
#include "peer/session.h"

/* ---- report.c ---- */
void report_up(struct session *session); /* the link stands */
void report_path(
    struct session *session); /* it goes over another path: den hears of it, when it has settled */
void report_send(struct session *session); /* to the other end */
void report_size(
    struct session *session);            /* the same, if what the direct path carries has changed */
void report_send_all(struct core *core); /* something new is known here */
void report_take(struct session *session, struct view data);
void report_own(const struct session *session, struct why_end *ret_own);
void report_why(const struct session *session, struct why *ret_why);
void report_text(const struct session *session, char to[64]); /* for den's lists */
void report_over(struct session *session); /* it ends: what den was not told yet */
void report_end(struct session *session);

/* ---- explain.c ---- */
void explain_start(struct session *session);                   /* FINDINGs, EXAMINED */
void explain_take(struct session *session, struct view pairs); /* the other end's member `pairs` */
void explain_end(struct session *session);
