/* SPDX-License-Identifier: Apache-2.0 */
#include "den/retention.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "den/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { AT_ONCE = 5000, MAX_FILE = 64 * 1024 * 1024 };

struct retention {
    char *state_dir;
    uint64_t look_at; /* mono */
};

struct retention *retention_new(const char *state_dir)
{
    struct retention *r = mem_new(struct retention);

    r->state_dir = mem_text(state_dir);
    return r;
}

void retention_free(struct retention *r)
{
    if (!r)
        return;
    free(r->state_dir);
    free(r);
}

void retention_soon(struct retention *r)
{
    r->look_at = 0;
}

/* ---- the files ----------------------------------------------------------------------------------- */

static bool sync_dir(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;

    if (!ok)
        err_errno(err, "%s", path);
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool move(const char *dir, const char *from, const char *to, struct err *err)
{
    return (rename(from, to) == 0 || err_errno(err, "%s", to)) && sync_dir(dir, err);
}

/* The file is written whole as "next.part" before its entries go, and has its name afterwards. den was killed between the two:
 * the newest entry that says what is sealed knows the name, and whether that is the file. */
static bool settle(const char *dir, const char *part, struct store *store, struct err *err)
{
    _buf_ bytes = { 0 }, name = { 0 };
    bool is_last = false;

    if (!file_exists(part))
        return true;
    if (!file_read(part, MAX_FILE, &bytes, err) ||
        !seal_is_last(store, buf_view(&bytes), &is_last, &name, err))
        return false;
    if (!is_last)
        return unlink(part) == 0 || err_errno(err, "%s", part);
    _free_ char *path = file_path(dir, buf_cstr(&name));
    return move(dir, part, path, err);
}

static bool write_away(const char *dir, const char *next, const struct seal_part *part,
                       struct store *store, uint64_t keep, uint64_t now, struct err *err)
{
    _free_ char *name =
        mem_format("audit-%012" PRIu64 "-%012" PRIu64 ".jsonl", part->from, part->to);
    _free_ char *path = file_path(dir, name);

    if (!file_write(next, buf_view(&part->lines), 0600, err) ||
        !seal_away(store, part, name, keep, now, err) || !move(dir, next, path, err))
        return false;
    log_event(LOG_INFO, "audit.sealed", "from=%" PRIu64 " to=%" PRIu64 " file=%s", part->from,
              part->to, log_quote_text(path));
    return true;
}

/* Sealing writes an entry too, which is old some day: it waits until a day's worth, or as much as is kept, is there. */
static bool is_due(struct store *store, uint64_t limit, uint64_t keep, bool *ret_is,
                   struct err *err)
{
    uint64_t slack = min_u64(keep, DAY_MS), at;

    if (!seal_oldest(store, &at, err))
        return false;
    *ret_is = at < limit - min_u64(limit, slack);
    return true;
}

bool retention_run(const char *state_dir, struct store *store, uint64_t keep, uint64_t upto,
                   uint64_t most, uint64_t now, uint64_t *ret_n, struct err *err)
{
    _cleanup_(seal_part_deinit) struct seal_part part = { 0 };
    _free_ char *dir = file_path(state_dir, "audit"), *next = file_path(dir, "next.part");
    uint64_t limit = now - min_u64(now, keep);
    bool is_wanted;

    *ret_n = 0;
    if (!settle(dir, next, store, err))
        return err_wrap(err, "audit_keep");
    if (keep == 0)
        return true;
    if (!is_due(store, limit, keep, &is_wanted, err))
        return err_wrap(err, "audit_keep");
    if (!is_wanted)
        return true;
    if (!seal_find(store, limit, upto, most, &part, err) ||
        (part.n &&
         (!file_private_dir(dir, err) || !write_away(dir, next, &part, store, keep, now, err))))
        return err_wrap(err, "audit_keep");
    *ret_n = part.n;
    return true;
}

void retention_tick(struct retention *r, struct store *store, uint64_t keep, uint64_t upto)
{
    uint64_t mono = clock_mono_ms(), n = 0;
    struct err err = { 0 };

    if (mono < r->look_at)
        return;
    r->look_at = mono + HOUR_MS;
    if (!retention_run(r->state_dir, store, keep, upto, AT_ONCE, clock_wall_ms(), &n, &err))
        log_event(LOG_ERROR, "audit.not_sealed", "code=%s cause=%s", err_code_name(err.code),
                  log_quote_text(err.text));
    else if (n == AT_ONCE)
        r->look_at = mono;
}
