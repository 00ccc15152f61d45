/* SPDX-License-Identifier: Apache-2.0 */
#include "den/journal.h"

#include "base/log.h"
#include "base/text.h"
#include "den/audit.h"
#include "den/record.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { AT_ONCE = 256, MAX_KEY = 48 };

static const char number_name[] = "audit_copied";

struct journal {
    struct sockaddr_un to;
    int fd;
    bool is_away; /* and that was said */
    uint64_t copied, seen;
    bool is_read; /* `copied` is the store's */
};

struct journal *journal_new(const char *place)
{
    struct journal *j;

    if (!place || !*place)
        return NULL;
    j = mem_new(struct journal);
    j->to.sun_family = AF_UNIX;
    snprintf(j->to.sun_path, sizeof(j->to.sun_path), "%s",
             strcmp(place, "journal") == 0 ? "/run/systemd/journal/socket" : place);
    j->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return j;
}

void journal_free(struct journal *j)
{
    if (!j)
        return;
    if (j->fd >= 0)
        close(j->fd);
    free(j);
}

uint64_t journal_copied(const struct journal *j)
{
    return j ? j->copied : INT64_MAX;
}

/* Keys of ours are lower case, values one line of printable ASCII: the audit has both so. */
static void put_fact(void *user, struct view key, struct view value)
{
    struct buf *to = user;

    buf_put_text(to, "WARREN_FACT_");
    for (size_t i = 0; i < key.len && i < MAX_KEY; i++)
        buf_put_u8(to, (uint8_t)toupper(key.data[i]));
    buf_put_u8(to, '=');
    buf_put(to, value);
    buf_put_u8(to, '\n');
}

static void put_entry(const struct store_audit *entry, struct buf *to)
{
    _buf_ facts = { 0 }, json = { 0 };
    struct view what = audit_each_fact(entry, put_fact, &facts);

    audit_put_json(entry, &json);
    buf_printf(to, "MESSAGE=%s\nPRIORITY=5\nSYSLOG_IDENTIFIER=warren-den-audit\n", buf_cstr(&json));
    buf_printf(to, "WARREN_AUDIT_NO=%" PRIu64 "\nWARREN_AUDIT_AT_MS=%" PRIu64 "\n", entry->no,
               entry->at);
    buf_printf(to, "WARREN_AUDIT_WHAT=%.*s\nWARREN_AUDIT_HEAD=", VIEW_FMT(what));
    text_put_hex(to, VIEW_ARR(entry->head));
    buf_put_u8(to, '\n');
    buf_put(to, buf_view(&facts));
}

struct turn {
    struct journal *journal;
    size_t n;
    int failure;
};

static bool send_entry(void *user, const struct store_audit *entry)
{
    struct turn *turn = user;
    struct journal *j = turn->journal;
    _buf_ bytes = { 0 };

    put_entry(entry, &bytes);
    if (sendto(j->fd, bytes.data, bytes.len, MSG_NOSIGNAL, (const struct sockaddr *)&j->to,
               sizeof(j->to)) < 0) {
        turn->failure = errno;
        return false;
    }
    j->seen = entry->no;
    return ++turn->n < AT_ONCE;
}

static bool keep_place(struct journal *j, struct store *store, struct err *err)
{
    _transaction_ struct store *open = store;

    if (!store_begin(open, err) || !store_number_raise(open, number_name, j->seen, err) ||
        !store_commit(open, err))
        return false;
    j->copied = j->seen;
    return true;
}

static void say_away(struct journal *j, int failure)
{
    if (failure && failure != EAGAIN && !j->is_away)
        log_event(LOG_WARN, "audit.copy_away", "socket=%s cause=%s", log_quote_text(j->to.sun_path),
                  log_quote_text(strerror(failure)));
    if (!failure && j->is_away)
        log_event(LOG_INFO, "audit.copied", "socket=%s", log_quote_text(j->to.sun_path));
    j->is_away = failure && (j->is_away || failure != EAGAIN);
}

void journal_copy(struct journal *j, struct store *store)
{
    struct turn turn = { .journal = j };
    struct err err = { 0 };

    if (!j)
        return;
    if (!j->is_read && !store_number_get(store, number_name, &j->copied, &err))
        return;
    if (!j->is_read)
        j->seen = j->copied;
    j->is_read = true;
    if (!store_audit_each(store, j->seen + 1, send_entry, &turn, &err))
        return;
    if (j->seen > j->copied && !keep_place(j, store, &err))
        log_event(LOG_ERROR, "audit.copy_failed", "cause=%s", log_quote_text(err.text));
    say_away(j, turn.failure);
}
