/* SPDX-License-Identifier: Apache-2.0 */
#include "den/audit.h"
#include "base/clock.h"
#include "base/conf.h"
#include "base/text.h"
#include "den/inventory.h"
#include "den/seal.h"
#include "pki/pki.h"

/* The number of the newest entry, kept beside the entries: cutting off the end shows too. Whoever can write to the
 * store can lower both, which is why the heartbeat carries number and head to every peer. */
static const char number_name[] = "audit";

static void put_escaped(struct buf *to, struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c < 0x20 || c > 0x7e || c == '\\')
            buf_printf(to, "\\x%02x", c);
        else
            buf_put_u8(to, c);
    }
}

static void put_pair(struct buf *to, const char *key, struct view value)
{
    if (!*key || key[strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_")])
        abort(); /* keys are ours */
    buf_put_text(to, key);
    buf_put_u8(to, '=');
    put_escaped(to, value);
    buf_put_u8(to, '\n');
}

/* `no` of the entry that follows `previous`. */
void audit_next_head(const uint8_t previous[HASH_SIZE], uint64_t no, uint64_t at, struct view bytes,
                     uint8_t ret_head[HASH_SIZE])
{
    static const char word[] = "warren/1 audit"; /* with its NUL */
    _buf_ hashed = { 0 };

    buf_put(&hashed, VIEW(word, sizeof(word)));
    buf_put(&hashed, VIEW(previous, HASH_SIZE));
    buf_put_u64(&hashed, no);
    buf_put_u64(&hashed, at);
    buf_put_u32(&hashed, (uint32_t)bytes.len);
    buf_put(&hashed, bytes);
    pki_hash(buf_view(&hashed), ret_head);
}

bool audit_head(struct store *store, uint64_t *ret_no, uint8_t ret_head[HASH_SIZE], struct err *err)
{
    struct store_audit last = { 0 };
    enum store_found found;

    if (!store_audit_last(store, &found, &last, err))
        return err_wrap(err, "audit");
    *ret_no = last.no;
    memcpy(ret_head, last.head, HASH_SIZE);
    buf_free(&last.bytes);
    return true;
}

bool audit_run_start(struct store *store, struct audit_run *ret_run, struct err *err)
{
    struct audit_run run = { .store = store };
    uint64_t counted = 0;

    if (!audit_head(store, &run.no, run.head, err) ||
        !store_number_get(store, number_name, &counted, err))
        return false;
    if (run.no != counted)
        return err_set(err, ERR_SYSTEM, "audit: the newest entry is %llu, it should be %llu",
                       (unsigned long long)run.no, (unsigned long long)counted);
    *ret_run = run;
    return true;
}

bool audit_run_end(struct audit_run *run, struct err *err)
{
    return !run->is_any || store_number_raise(run->store, number_name, run->no, err);
}

/* entry->no: 0, the next one. */
static bool append(struct audit_run *run, struct store_audit *entry, struct err *err)
{
    if (entry->no && entry->no <= run->no)
        return err_set(err, ERR_INTERNAL, "audit: entry %llu is there",
                       (unsigned long long)entry->no);
    entry->no = entry->no ? entry->no : run->no + 1;
    audit_next_head(run->head, entry->no, entry->at, buf_view(&entry->bytes), entry->head);
    if (!store_audit_add(run->store, entry, err))
        return false;
    run->no = entry->no;
    memcpy(run->head, entry->head, HASH_SIZE);
    run->is_any = true;
    return true;
}

void audit_put(struct buf *to, const char *what, const struct audit_pair *pairs, size_t n_pairs)
{
    put_pair(to, "what", view_text(what));
    for (size_t i = 0; i < n_pairs; i++)
        put_pair(to, pairs[i].key, pairs[i].value);
}

static bool put(struct audit_run *run, uint64_t no, uint64_t at, const char *what,
                const struct audit_pair *pairs, size_t n_pairs, struct err *err)
{
    struct store_audit entry = { .no = no, .at = at };
    bool ok;

    audit_put(&entry.bytes, what, pairs, n_pairs);
    ok = append(run, &entry, err);
    buf_free(&entry.bytes);
    return ok;
}

bool audit_run_append(struct audit_run *run, uint64_t at, const char *what,
                      const struct audit_pair *pairs, size_t n_pairs, struct err *err)
{
    return put(run, 0, at, what, pairs, n_pairs, err);
}

bool audit_append(struct store *store, uint64_t at, const char *what,
                  const struct audit_pair *pairs, size_t n_pairs, struct err *err)
{
    struct audit_run run;

    return audit_run_start(store, &run, err) && put(&run, 0, at, what, pairs, n_pairs, err) &&
           audit_run_end(&run, err);
}

bool audit_append_bytes(struct store *store, uint64_t at, struct view bytes, struct err *err)
{
    struct store_audit entry = { .at = at, .bytes = buf_dup(bytes) };
    struct audit_run run;
    bool ok;

    ok = audit_run_start(store, &run, err) && append(&run, &entry, err) && audit_run_end(&run, err);
    buf_free(&entry.bytes);
    return ok;
}

bool audit_jump(struct store *store, uint64_t to, uint64_t at, const struct audit_pair *pairs,
                size_t n_pairs, struct err *err)
{
    struct audit_run run;

    return audit_run_start(store, &run, err) &&
           put(&run, to, at, AUDIT_ROLLBACK, pairs, n_pairs, err) && audit_run_end(&run, err);
}

bool audit_is_jump(const struct store_audit *entry)
{
    return view_starts(buf_view(&entry->bytes), view_text("what=" AUDIT_ROLLBACK "\n"));
}

static void put_unescaped(struct buf *to, struct view value)
{
    for (size_t i = 0; i < value.len; i++) {
        uint8_t byte;
        if (value.data[i] == '\\' && text_read_hex(view_sub(value, i + 2, 2), &byte, 1)) {
            buf_put_u8(to, byte);
            i += 3;
        } else {
            buf_put_u8(to, value.data[i]);
        }
    }
}

bool audit_find(struct view bytes, const char *key, struct buf *to)
{
    size_t len = strlen(key);

    while (bytes.len) {
        const uint8_t *end = memchr(bytes.data, '\n', bytes.len);
        struct view line = view_sub(bytes, 0, end ? (size_t)(end - bytes.data) : bytes.len);
        bytes = view_sub(bytes, line.len + 1, bytes.len);
        if (line.len <= len || line.data[len] != '=' || memcmp(line.data, key, len) != 0)
            continue;
        put_unescaped(to, view_sub(line, len + 1, line.len));
        return true;
    }
    return false;
}

/* ---- looking for one ---------------------------------------------------------------------------- */

struct search {
    uint64_t no;
    const uint8_t *head;
    bool is_known;
};

static bool look_at_first(void *user, const struct store_audit *entry)
{
    struct search *search = user;

    search->is_known = entry->no == search->no ? memcmp(entry->head, search->head, HASH_SIZE) == 0
                                               : audit_is_jump(entry);
    return false;
}

bool audit_knows(struct store *store, uint64_t no, const uint8_t head[HASH_SIZE], bool *ret_does,
                 bool *ret_is_sealed, struct err *err)
{
    struct search search = { .no = no, .head = head, .is_known = no == 0 };
    struct seal_point point;
    bool is_whole;

    if (!seal_point_read(store, &point, &is_whole, err))
        return false;
    if (no && no <= point.no)
        search.is_known = no < point.no || memcmp(point.head, head, HASH_SIZE) == 0;
    else if (no && !store_audit_each(store, no, look_at_first, &search, err))
        return err_wrap(err, "audit");
    *ret_does = search.is_known;
    if (ret_is_sealed)
        *ret_is_sealed = no && no < point.no;
    return true;
}

bool audit_read_time(const char *text, uint64_t now, uint64_t *ret_at)
{
    uint64_t span;

    if (strlen(text) >= 12 && text_read_u64(view_text(text), ret_at)) /* as at_ms */
        return *ret_at <= INT64_MAX;
    if (!conf_duration(view_text(text), &span))
        return inventory_read_time(text, now, ret_at);
    *ret_at = span < now ? now - span : 0;
    return true;
}

/* ---- verifying ---------------------------------------------------------------------------------- */

struct walk {
    uint8_t head[HASH_SIZE];
    uint64_t n /* of the newest */, bad_no, n_entries, left;
};

bool audit_follows(const struct store_audit *entry, uint64_t no, const uint8_t head[HASH_SIZE])
{
    uint8_t wanted[HASH_SIZE];

    if (entry->no != no + 1 && !(audit_is_jump(entry) && entry->no > no))
        return false;
    audit_next_head(head, entry->no, entry->at, buf_view(&entry->bytes), wanted);
    return memcmp(wanted, entry->head, HASH_SIZE) == 0;
}

static bool check_entry(void *user, const struct store_audit *entry)
{
    struct walk *walk = user;

    if (!audit_follows(entry, walk->n, walk->head)) {
        walk->bad_no = audit_is_jump(entry) && entry->no > walk->n ? entry->no : walk->n + 1;
        return false;
    }
    memcpy(walk->head, entry->head, HASH_SIZE);
    walk->n = entry->no;
    walk->n_entries++;
    return --walk->left != 0;
}

static bool keep_head(void *user, const struct store_audit *entry)
{
    struct walk *walk = user;

    memcpy(walk->head, entry->head, HASH_SIZE);
    walk->n = entry->no;
    return false;
}

/* Where the walk begins. */
static bool start_walk(struct store *store, uint64_t after, struct walk *walk,
                       struct audit_checked *checked, struct err *err)
{
    struct seal_point point;
    bool is_whole;

    if (!seal_point_read(store, &point, &is_whole, err))
        return false;
    checked->sealed_no = point.no;
    checked->is_point_bad = !is_whole;
    if (after && !store_audit_each(store, after, keep_head, walk, err))
        return err_wrap(err, "audit");
    if (!after) {
        walk->n = point.no;
        memcpy(walk->head, point.head, HASH_SIZE);
    }
    if (after && walk->n != after)
        return err_set(err, ERR_NOT_FOUND, "audit: there is no entry %llu",
                       (unsigned long long)after);
    return true;
}

static bool verify_some(struct store *store, uint64_t after, uint64_t most,
                        struct audit_checked *ret, struct err *err)
{
    struct walk walk = { .left = most };
    struct audit_checked checked = { 0 };
    uint64_t counted;

    if (!store_number_get(store, number_name, &counted, err) ||
        !start_walk(store, after, &walk, &checked, err))
        return false;
    if (checked.is_point_bad)
        walk.bad_no = checked.sealed_no ? checked.sealed_no : 1;
    else if (!store_audit_each(store, after ? after + 1 : 0, check_entry, &walk, err))
        return err_wrap(err, "audit");
    if (!walk.bad_no && walk.left && walk.n < counted)
        walk.bad_no = walk.n + 1;
    checked.last_no = walk.n;
    checked.bad_no = walk.bad_no;
    checked.n_entries = walk.n_entries;
    checked.is_all = walk.bad_no || walk.left;
    memcpy(checked.head, walk.head, HASH_SIZE);
    *ret = checked;
    return true;
}

/* One moment's state: what is added, or sealed into a file, meanwhile is no fault. */
bool audit_verify_some(struct store *store, uint64_t after, uint64_t most,
                       struct audit_checked *ret, struct err *err)
{
    bool is_ours = store_look(store);
    bool ok = verify_some(store, after, most, ret, err);

    if (is_ours)
        store_look_end(store);
    return ok;
}

bool audit_verify(struct store *store, uint64_t *ret_newest, uint64_t *ret_bad_no, uint64_t *ret_n,
                  struct err *err)
{
    struct audit_checked checked = { 0 };

    if (!audit_verify_some(store, 0, UINT64_MAX, &checked, err))
        return false;
    *ret_newest = checked.last_no;
    *ret_bad_no = checked.bad_no;
    if (ret_n)
        *ret_n = checked.n_entries;
    return true;
}

/* ---- as JSON ------------------------------------------------------------------------------------ */

/* Canonical text is printable ASCII: only two characters need care. A damaged entry may hold others. */
void audit_put_json_text(struct buf *to, struct view text)
{
    buf_put_u8(to, '"');
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c == '"' || c == '\\')
            buf_printf(to, "\\%c", c);
        else if (c < 0x20 || c > 0x7e)
            buf_printf(to, "\\u%04x", c);
        else
            buf_put_u8(to, c);
    }
    buf_put_u8(to, '"');
}

static struct view take_until(struct view *text, char stop)
{
    const uint8_t *at = text->len ? memchr(text->data, stop, text->len) : NULL;
    size_t len = at ? (size_t)(at - text->data) : text->len;
    struct view taken = view_sub(*text, 0, len);

    *text = view_sub(*text, len + 1, text->len);
    return taken;
}

struct view audit_each_fact(const struct store_audit *entry,
                            void (*each)(void *user, struct view key, struct view value),
                            void *user)
{
    struct view rest = buf_view(&entry->bytes);
    struct view what = take_until(&rest, '\n');

    take_until(&what, '='); /* "what" comes first */
    while (rest.len) {
        struct view line = take_until(&rest, '\n');
        struct view key = take_until(&line, '=');
        each(user, key, line);
    }
    return what;
}

struct json_facts {
    struct buf *to;
    const char *before;
};

static void put_json_fact(void *user, struct view key, struct view value)
{
    struct json_facts *f = user;

    buf_put_text(f->to, f->before);
    audit_put_json_text(f->to, key);
    buf_put_u8(f->to, ':');
    audit_put_json_text(f->to, value);
    f->before = ",";
}

void audit_put_json(const struct store_audit *entry, struct buf *to)
{
    _buf_ facts = { 0 };
    struct json_facts f = { &facts, "" };
    struct view what = audit_each_fact(entry, put_json_fact, &f);
    char at[CLOCK_TEXT];

    buf_printf(to,
               "{\"no\":%llu,\"at\":\"%s\",\"at_ms\":%llu,\"what\":", (unsigned long long)entry->no,
               clock_text(entry->at, at), (unsigned long long)entry->at);
    audit_put_json_text(to, what);
    buf_put_text(to, ",\"facts\":{");
    buf_put(to, buf_view(&facts));
    buf_put_text(to, "},\"head\":\"");
    text_put_hex(to, VIEW_ARR(entry->head));
    buf_put_text(to, "\"}");
}
