/* SPDX-License-Identifier: Apache-2.0 */
/* The link's door: life, input, time, and the order in which events are told. */
#include "peer/link/inside.h"

/* An end may keep an acknowledgement back for so long (PROTOCOL.md, section 1). */
static const uint64_t late_ack = 8 * MS_NS;
/* RFC 9002, 6.2.1: each probe without an answer doubles the time to the next. Whoever hurries at every change of a path that comes and goes
 * would have none left when it has come. */
static const uint64_t hurry_pause = 100 * MS_NS;
enum { MOST_DOUBLED = 6 };

static bool check_config(const struct link_config *config, struct err *err)
{
    struct view statement, sig;

    if (!config->judge || !config->may_open || !config->send)
        return err_set(err, ERR_INVALID_ARGUMENT, "link: judge, may_open and send must be set");
    if (config->heart.len && !link_signed_read(config->heart, &statement, &sig))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "link: the heartbeat is not a statement with its signature");
    return true;
}

bool link_new_as(const struct link_config *config, const struct tls_profile *profile,
                 uint64_t now_ns, struct link **ret_link, struct err *err)
{
    _cleanup_(link_freep) struct link *link = mem_new(struct link);

    list_init(&link->streams);
    for (size_t i = 0; i < N_ELEMENTS(link->sending); i++)
        list_init(&link->sending[i]);
    list_init(&link->ready);
    list_init(&link->notes);
    datagrams_init(link);
    link->config = *config;
    link->profile = profile;
    link->now = now_ns + link->ahead;
    rate_init(&link->rate);
    link->out = mem_resize(NULL, 1, sizeof(struct link_out));
    link->out->first = link->out->n = 0;
    if (!check_config(config, err))
        return false;
    link->heart = buf_dup(config->heart);
    if (!tls_credentials_new(&link->tls, config, profile, err))
        return err_wrap(err, "link");
    if (config->is_caller && !quic_start_caller(link, err))
        return err_wrap(err, "link");
    link->config.chain = NULL;
    link->config.key_der = link->config.heart = (struct view){ 0 };
    *ret_link = STEAL(link);
    return true;
}

bool link_new(const struct link_config *config, uint64_t now_ns, struct link **ret_link,
              struct err *err)
{
    return link_new_as(config, &tls_profile_link, now_ns, ret_link, err);
}

static void note_free(struct link_note *note)
{
    if (!note)
        return;
    buf_free(&note->data);
    free(note);
}

/* ngtcp2 goes before the memory it sends from, and TLS after ngtcp2, which calls into it. */
void link_free(struct link *link)
{
    struct link_stream *stream;
    struct link_note *note;

    if (!link)
        return;
    link->state = LINK_OVER;
    ngtcp2_conn_del(link->conn);
    link->conn = NULL;
    tls_deinit(&link->tls);
    stream_free(link->gone);
    LIST_EACH(stream, &link->streams, in_streams)
        stream_free(stream);
    stream_free(link->control);
    LIST_EACH(note, &link->notes, in_notes)
        note_free(note);
    note_free(link->told);
    datagrams_free(link);
    control_reader_deinit(&link->frames);
    buf_free(&link->heart);
    free(link->out);
    free(link);
}

/* ---- packets and time ---- */

void link_input(struct link *link, uint64_t now_ns, const struct view *packets, size_t n)
{
    uint64_t flying;

    link->now = now_ns + link->ahead;
    if (link->state == LINK_OVER) {
        close_repeat(link);
        return;
    }
    link->heard_at = link->now;
    link->alone_since = now_ns;
    link->n_hurried = 0;
    flying = link->conn ? rate_flying(link) : 0;
    for (size_t i = 0; i < n && link->state != LINK_OVER; i++)
        packets_input(link, packets[i]);
    if (link->conn)
        rate_heard(link, flying);
    packets_flush(link);
}

void link_resume(struct link *link, uint64_t now_ns)
{
    link->now = now_ns + link->ahead;
    if (link->state != LINK_OVER)
        packets_flush(link);
    else if (link->is_blocked)
        close_repeat(link);
}

void link_waited(struct link *link, uint64_t now_ns, uint64_t most_ns)
{
    uint64_t waited = now_ns + link->ahead - link->now;

    if (waited > most_ns)
        link->ahead -= waited - most_ns;
}

void link_set_grant(struct link *link, const uint8_t grant_hash[HASH_SIZE])
{
    memcpy(link->config.grant_hash, grant_hash, HASH_SIZE);
}

static uint64_t idle_at(const struct link *link)
{
    return link->alone_since + LINK_IDLE_S * S_NS;
}

void link_tick(struct link *link, uint64_t now_ns)
{
    link->now = now_ns + link->ahead;
    if (link->state == LINK_OPEN && now_ns >= idle_at(link))
        close_by_quic_error(link, NGTCP2_ERR_IDLE_CLOSE);
    if (link->state != LINK_OVER)
        packets_tick(link);
    link_resume(link, now_ns);
}

/* Our clock goes ahead until the next probe is due: timestamps only grow, as ngtcp2 wants it. Not so far that the link would be given up. */
static void skip_to_probe(struct link *link)
{
    uint64_t at = ngtcp2_conn_get_expiry(link->conn);

    if (at <= link->now || at >= link->heard_at + LINK_AHEAD_S * S_NS)
        return;
    link->ahead += at - link->now;
    link->now = at;
    packets_tick(link);
}

static unsigned n_probes(const struct link *link)
{
    ngtcp2_conn_stat stat;

    ngtcp2_conn_get_conn_stat(link->conn, &stat);
    return (unsigned)stat.pto_count;
}

static uint64_t hurry_pause_of(const struct link *link)
{
    return hurry_pause << (link->n_hurried < MOST_DOUBLED ? link->n_hurried : MOST_DOUBLED);
}

void link_hurry(struct link *link, uint64_t now_ns)
{
    enum { MOST_TIMERS = 4 }; /* others may be due before */
    unsigned before = link->conn && link->state == LINK_OPEN ? n_probes(link) : 0;

    link->now = now_ns + link->ahead;
    if (before > 0 && now_ns - link->hurried_at >= hurry_pause_of(link)) {
        link->hurried_at = now_ns;
        link->n_hurried++;
        for (int i = 0; i < MOST_TIMERS && link->state == LINK_OPEN && n_probes(link) == before;
             i++)
            skip_to_probe(link);
    }
    link_resume(link, now_ns);
}

/* By our own clock. */
static uint64_t deadline(const struct link *link)
{
    if (link->state == LINK_OVER)
        return link->is_blocked && link->now < link->closing_until ? link->blocked_until
                                                                   : UINT64_MAX;
    if (link->needs_flush && !link->is_blocked)
        return link->now;
    return packets_deadline(link);
}

/* By the owner's. */
static uint64_t deadline_there(const struct link *link)
{
    uint64_t at = deadline(link);

    if (at == UINT64_MAX)
        return at;
    if ((int64_t)link->ahead > 0 && at <= link->ahead)
        return 0;
    return at - link->ahead; /* behind: modulo 2^64 */
}

uint64_t link_deadline(const struct link *link)
{
    uint64_t at = deadline_there(link);

    return link->state == LINK_OPEN && idle_at(link) < at ? idle_at(link) : at;
}

void link_close(struct link *link, uint64_t now_ns, uint64_t code, const char *reason)
{
    struct err err = { 0 };

    link->now = now_ns + link->ahead;
    err_set(&err, ERR_CLOSED, reason && *reason ? "closed here: %s" : "closed here", reason);
    close_by_us(link, code, reason ? reason : "", &err);
}

/* ---- events ---- */

bool link_note_failure(struct link *link, uint64_t code, const struct err *err)
{
    if (!link->has_failure) {
        link->has_failure = true;
        link->failure_code = code;
        link->failure = *err;
    }
    return false;
}

void link_note(struct link *link, enum link_event_type type, struct view data)
{
    struct link_note *note = mem_new(struct link_note);

    note->type = type;
    note->data = buf_dup(data);
    list_append(&link->notes, &note->in_notes);
    link->n_notes++;
}

static bool next_note(struct link *link, struct link_event *ret)
{
    struct link_note *note;

    if (list_is_empty(&link->notes))
        return false;
    note = LIST_ITEM(link->notes.next, struct link_note, in_notes);
    list_remove(&note->in_notes);
    link->n_notes--;
    link->told = note;
    *ret = (struct link_event){ .type = note->type, .data = buf_view(&note->data) };
    return true;
}

/* What the event told last borrowed from. */
static void drop_told(struct link *link)
{
    note_free(link->told);
    link->told = NULL;
    free(link->told_datagram);
    link->told_datagram = NULL;
    stream_free(link->gone);
    link->gone = NULL;
}

static bool next_while_up(struct link *link, struct link_event *ret)
{
    if (!link->is_up_told) {
        link->is_up_told = true;
        *ret = (struct link_event){ .type = LINK_UP };
        return true;
    }
    return next_note(link, ret) || stream_next_event(link, ret) || datagram_next_event(link, ret);
}

bool link_has_event(const struct link *link)
{
    return link->state != LINK_OPEN || !link->is_up_told || !list_is_empty(&link->notes) ||
           !list_is_empty(&link->ready) || link->datagrams_in.n > 0;
}

bool link_next_event(struct link *link, struct link_event *ret_event)
{
    drop_told(link);
    if ((link->state == LINK_OPEN || link->was_up) && next_while_up(link, ret_event))
        return true;
    if (!link->has_ended || link->is_end_told)
        return false;
    link->is_end_told = true;
    *ret_event = link->end;
    return true;
}

/* ---- what it is ---- */

bool link_is_up(const struct link *link)
{
    return link->state == LINK_OPEN;
}

/* Of streams that are open. */
static uint64_t count_lost(const struct link *link)
{
    const struct link_stream *stream;
    uint64_t n =
        link->control ? ngtcp2_conn_get_stream_loss_count(link->conn, link->control->id) : 0;

    LIST_EACH(stream, &link->streams, in_streams)
        n += stream->is_quic_closed ? 0 : ngtcp2_conn_get_stream_loss_count(link->conn, stream->id);
    return n;
}

void link_facts(const struct link *link, struct link_facts *ret_facts)
{
    *ret_facts = link->facts;
    if (link->conn) {
        ret_facts->packets_lost += count_lost(link);
        ngtcp2_conn_stat stat;

        ngtcp2_conn_get_conn_stat(link->conn, &stat);
        ret_facts->rtt_ns = stat.smoothed_rtt;
        ret_facts->least_rtt_ns = stat.latest_rtt && stat.latest_rtt < stat.smoothed_rtt
                                      ? stat.latest_rtt
                                      : stat.smoothed_rtt;
        ret_facts->cwnd = stat.cwnd;
        ret_facts->bytes_in_flight = stat.bytes_in_flight;
        ret_facts->delivery_rate = stat.delivery_rate_sec;
    }
}

void link_send_revoke(struct link *link, uint64_t now_ns, struct view revocation)
{
    struct view statement, sig;

    if (!link_signed_read(revocation, &statement, &sig) || link->state != LINK_OPEN)
        return;
    link->now = now_ns + link->ahead;
    bind_send_revoke(link, revocation);
    packets_flush(link);
}

void link_send_reauth(struct link *link, uint64_t now_ns, const struct link_reauth *reauth)
{
    if (link->state != LINK_OPEN)
        return;
    link->now = now_ns + link->ahead;
    bind_send_reauth(link, reauth);
    packets_flush(link);
}

void link_send_report(struct link *link, uint64_t now_ns, struct view report)
{
    if (link->state != LINK_OPEN || report.len == 0 || report.len > LINK_MAX_REPORT)
        return;
    link->now = now_ns + link->ahead;
    bind_send_report(link, report);
    packets_flush(link);
}

void link_send_switch(struct link *link, uint64_t now_ns, uint64_t number, uint8_t carrier)
{
    if (link->state != LINK_OPEN)
        return;
    link->now = now_ns + link->ahead;
    bind_send_switch(link, number, carrier);
    packets_flush(link);
}

bool link_send_ice(struct link *link, uint64_t now_ns, uint64_t number, struct view text)
{
    if (link->state != LINK_OPEN || text.len == 0 || text.len > LINK_MAX_ICE)
        return false;
    link->now = now_ns + link->ahead;
    if (!bind_send_ice(link, number, text))
        return false;
    packets_flush(link);
    return true;
}

bool link_ice_read(struct view data, uint64_t *ret_number, struct view *ret_text)
{
    if (!view_take_u64(&data, ret_number) || data.len == 0)
        return false;
    *ret_text = data;
    return true;
}

bool link_switch_read(struct view data, uint64_t *ret_number, uint8_t *ret_carrier)
{
    return view_take_u64(&data, ret_number) && view_take_u8(&data, ret_carrier) && data.len == 0;
}

void link_pressure(const struct link *link, struct link_pressure *ret_pressure)
{
    struct link_pressure pressure = { 0 };
    ngtcp2_conn_stat stat;

    if (link->conn && link->state != LINK_OVER) {
        ngtcp2_conn_get_conn_stat(link->conn, &stat);
        pressure.is_waiting = stat.bytes_in_flight > 0;
        pressure.is_probing = stat.pto_count > 0;
        pressure.late_ns = stat.smoothed_rtt + 4 * stat.rttvar + late_ack;
    }
    *ret_pressure = pressure;
}

bool link_exporter(const struct link *link, const char *label, uint8_t ret_exporter[LINK_EXPORTER],
                   struct err *err)
{
    return tls_exporter(&link->tls, label, ret_exporter, err);
}

void link_send_sas(struct link *link, uint64_t now_ns, const uint8_t bytes[HASH_SIZE])
{
    if (link->state != LINK_OPEN)
        return;
    link->now = now_ns + link->ahead;
    bind_send_sas(link, VIEW(bytes, HASH_SIZE));
    packets_flush(link);
}

void link_send_heart(struct link *link, uint64_t now_ns, struct view heart)
{
    struct view statement, sig;

    if (!link_signed_read(heart, &statement, &sig) || link->state == LINK_OVER)
        return;
    link->now = now_ns + link->ahead;
    buf_free(&link->heart);
    link->heart = buf_dup(heart);
    bind_send_heart(link);
    packets_flush(link);
}
