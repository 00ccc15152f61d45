/* SPDX-License-Identifier: Apache-2.0 */
/* The short authentication string of a link: who begins, and who is told. */
#include "peer/session.h"

void compare_start(struct session *session)
{
    uint8_t number[HASH_SIZE], commitment[HASH_SIZE];

    if (session->state != SESSION_UP || session->sas.has_committed)
        return;
    random_bytes(number, sizeof(number));
    sas_commit(&session->sas, number, commitment);
    link_send_sas(session->link, clock_mono_ns(), commitment);
    session_pump(session);
}

static void tell(struct session *session, struct view exporter)
{
    struct hub_event *event = hub_event_new(PEER_EVENT_SAS);
    char text[SAS_TEXT];

    sas_text(&session->sas, session->is_caller, exporter, text);
    event->event.link = peer_link_ref(session->handle);
    event->capability = mem_text(text); /* the event's `code` */
    event->event.code = event->capability;
    hub_put(session->core->hub, event);
}

/* Their commitment is answered with ours, if it did not go yet, and with our number. */
void compare_take(struct session *session, struct view bytes)
{
    uint8_t exporter[LINK_EXPORTER];
    struct err err = { 0 };

    if (session->state != SESSION_UP)
        return;
    if (!sas_input(&session->sas, bytes, &err) ||
        (session->sas.is_done &&
         !link_exporter(session->link, LINK_EXPORTER_SAS, exporter, &err))) {
        session_close(session, LINK_CLOSE_PROTOCOL, err.text, &err);
        return;
    }
    if (session->sas.is_done) {
        tell(session, VIEW_ARR(exporter));
        return;
    }
    compare_start(session);
    link_send_sas(session->link, clock_mono_ns(), session->sas.ours);
    session_pump(session);
}
