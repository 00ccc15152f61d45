/* SPDX-License-Identifier: Apache-2.0 */
/* warren-den audit list, export, verify and check. */
#include "base/clock.h"
#include "base/text.h"
#include "den/args.h"
#include "den/audit.h"
#include "den/folder.h"
#include "den/seal.h"
#include "den/verb.h"
#include "rpc/rpc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_LINE = 1024 * 1024 };

/* The store alone: an audit can be looked at whatever else is wrong. */
static bool open_audit(const char *path, struct store **ret_store)
{
    _cleanup_(config_deinit) struct den_config config = { 0 };
    struct err err;

    if (!verb_load_config(path, &config))
        return false;
    if (verb_enter(path, &config, &err) && folder_read_store(&config, ret_store, &err))
        return true;
    verb_fail(&err);
    return false;
}

/* ---- list, export ----------------------------------------------------------------------------------- */

struct span {
    uint64_t since, until; /* until 0: to the end */
};

static bool print_entry(void *user, const struct store_audit *entry)
{
    const struct span *span = user;
    _buf_ line = { 0 };

    if (entry->at < span->since || (span->until && entry->at > span->until))
        return true;
    audit_put_json(entry, &line);
    return puts(buf_cstr(&line)) >= 0;
}

static bool read_time(const char *option, const char *text, uint64_t *ret_at, struct err *err)
{
    return !text || audit_read_time(text, clock_wall_ms(), ret_at) ||
           err_set(err, ERR_INVALID_ARGUMENT,
                   "--%s: expected how long ago, such as 36h, a day such as 2027-01-31 or a time "
                   "such as 2027-01-31T12:00:00Z or 2027-01-31T13:00:00.250+01:00, found \"%.64s\"",
                   option, text);
}

static bool read_from(const char *from, uint64_t *ret_no, struct err *err)
{
    return (text_read_u64(view_text(from), ret_no) && *ret_no <= INT64_MAX) ||
           err_set(err, ERR_INVALID_ARGUMENT,
                   "--from: expected the number of an entry, found \"%.64s\"", from);
}

int verb_audit_export(int argc, char **argv)
{
    _cleanup_(store_freep) struct store *store = NULL;
    const char *path = NULL, *from = "0", *since = NULL, *until = NULL;
    bool is_json = false; /* it always is; then errors are, too */
    const struct args_option options[] = { { "config", &path, true },
                                           { "from", &from, false },
                                           { "since", &since, false },
                                           { "until", &until, false },
                                           { "json", NULL, false, &is_json } };
    struct span span = { 0 };
    struct err err;
    uint64_t no;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), NULL, NULL, 0, &err) ||
        !read_from(from, &no, &err) || !read_time("since", since, &span.since, &err) ||
        !read_time("until", until, &span.until, &err))
        return verb_misuse(&err);
    if (!open_audit(path, &store))
        return VERB_FAILED;
    return store_audit_each(store, no, print_entry, &span, &err) ? VERB_DONE : verb_fail(&err);
}

int verb_audit_list(int argc, char **argv)
{
    return verb_audit_export(argc, argv);
}

/* ---- verify ------------------------------------------------------------------------------------------ */

struct point { /* "17:3f9c...": an entry that somebody remembers */
    bool is_set;
    uint64_t no;
    uint8_t head[HASH_SIZE];
};

static bool read_point(const char *option, const char *text, struct point *ret, struct err *err)
{
    const char *colon = text ? strchr(text, ':') : NULL;

    if (!text)
        return true;
    ret->is_set = true;
    return (colon && text_read_u64(VIEW((const uint8_t *)text, (size_t)(colon - text)), &ret->no) &&
            ret->no <= INT64_MAX && text_read_hex(view_text(colon + 1), ret->head, HASH_SIZE)) ||
           err_set(err, ERR_INVALID_ARGUMENT,
                   "--%s: expected N:HEAD, as `warren audit-witness` prints it", option);
}

static int say_bad_point(const struct audit_checked *checked)
{
    fprintf(stderr,
            "warren-den: audit: the checkpoint after entry %" PRIu64
            ", up to which entries are sealed in files, is changed: it is not what the entry "
            "\"" AUDIT_SEALED "\" says\n",
            checked->sealed_no);
    return VERB_FAILED;
}

static int say_sealed_witness(const struct point *witness, const struct audit_checked *checked)
{
    fprintf(stderr,
            "warren-den: audit: entry %" PRIu64 " is one of those up to number %" PRIu64
            " that are sealed in files: what is here is whole; warren-den audit check FILE "
            "--witness looks there\n",
            witness->no, checked->sealed_no);
    return VERB_FAILED;
}

static int say_bad_witness(const struct point *witness)
{
    fprintf(stderr,
            "warren-den: audit: a witness heard of entry %" PRIu64
            " with another head: the audit that den signed then is not this one\n",
            witness->no);
    return VERB_FAILED;
}

static int say_whole(uint64_t n, uint64_t sealed, uint64_t newest, const uint8_t head[HASH_SIZE],
                     const struct point *witness)
{
    _buf_ hex = { 0 };

    text_put_hex(&hex, VIEW(head, HASH_SIZE));
    printf("%" PRIu64 " entries, whole and in order, up to number %" PRIu64 "; head %s%s\n", n,
           newest, buf_cstr(&hex), witness->is_set ? "; the witness agrees" : "");
    if (sealed)
        printf("those up to number %" PRIu64 " are sealed in files, and these follow on them\n",
               sealed);
    return VERB_DONE;
}

static int say_json(const struct audit_checked *checked, const char *witness)
{
    bool is_whole = !checked->bad_no && !checked->is_point_bad;
    _buf_ hex = { 0 };

    text_put_hex(&hex, VIEW_ARR(checked->head));
    printf("{\"whole\": %s, \"entries\": %" PRIu64 ", \"last\": %" PRIu64 ", \"head\": \"%s\""
           ", \"sealed_up_to\": %" PRIu64 ", \"bad\": %" PRIu64 ", \"checkpoint_is_bad\": %s"
           ", \"witness\": %s}\n",
           is_whole ? "true" : "false", checked->n_entries, checked->last_no, buf_cstr(&hex),
           checked->sealed_no, checked->bad_no, checked->is_point_bad ? "true" : "false", witness);
    return is_whole && strcmp(witness, "\"differs\"") != 0 && strcmp(witness, "\"sealed\"") != 0
               ? VERB_DONE
               : VERB_FAILED;
}

int verb_audit_verify(int argc, char **argv)
{
    bool is_json = false;
    _cleanup_(store_freep) struct store *store = NULL;
    const char *path = NULL, *typed = NULL;
    const struct args_option options[] = { { "config", &path, true },
                                           { "json", NULL, false, &is_json },
                                           { "witness", &typed, false } };
    struct audit_checked checked;
    struct point witness = { 0 };
    bool agrees = true, is_sealed = false;
    struct err err;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), NULL, NULL, 0, &err) ||
        !read_point("witness", typed, &witness, &err))
        return verb_misuse(&err);
    if (!open_audit(path, &store))
        return VERB_FAILED;
    store_look(store); /* the witness's entry is looked for in the same state */
    if (!audit_verify_some(store, 0, UINT64_MAX, &checked, &err))
        return verb_fail(&err);
    if (is_json && (checked.is_point_bad || checked.bad_no))
        return say_json(&checked, "null");
    if (checked.is_point_bad)
        return say_bad_point(&checked);
    if (checked.bad_no) {
        fprintf(stderr,
                "warren-den: audit: entry %" PRIu64
                " is changed, missing or out of order; the %" PRIu64
                " entries before it are whole\n",
                checked.bad_no, checked.n_entries);
        return VERB_FAILED;
    }
    if (witness.is_set && !audit_knows(store, witness.no, witness.head, &agrees, &is_sealed, &err))
        return verb_fail(&err);
    if (is_json)
        return say_json(&checked, !witness.is_set ? "null"
                                  : is_sealed     ? "\"sealed\""
                                  : agrees        ? "\"agrees\""
                                                  : "\"differs\"");
    if (is_sealed)
        return say_sealed_witness(&witness, &checked);
    return agrees ? say_whole(checked.n_entries, checked.sealed_no, checked.last_no, checked.head,
                              &witness)
                  : say_bad_witness(&witness);
}

/* ---- check: an export, without den --------------------------------------------------------------------- */

struct check {
    struct point last, witness;
    bool has_met; /* the witness */
    uint64_t n, line;
    struct store_audit first; /* an export from the middle: what it begins with */
};

static void check_deinit(struct check *check)
{
    buf_free(&check->first.bytes);
}

static bool take_fact(struct view facts, struct buf *bytes)
{
    struct view cursor, key, value, text;
    uint32_t n;

    if (!rpc_map_open(facts, &cursor, &n))
        return false;
    while (rpc_map_next(&cursor, &n, &key, &value)) {
        if (!rpc_value_text(value, &text))
            return false;
        buf_put(bytes, key);
        buf_put_u8(bytes, '=');
        buf_put(bytes, text);
        buf_put_u8(bytes, '\n');
    }
    return true;
}

/* A line as the entry that it was made of. */
static bool read_line(struct view line, struct store_audit *entry)
{
    _buf_ map = { 0 };
    struct view what, facts, head;
    struct err unused;

    if (!rpc_json_to_msgpack(line, MAX_LINE, &map, &unused) ||
        rpc_value_kind(buf_view(&map)) != RPC_MAP ||
        !rpc_map_u64(buf_view(&map), "no", &entry->no) ||
        !rpc_map_u64(buf_view(&map), "at_ms", &entry->at) ||
        !rpc_map_text(buf_view(&map), "what", &what) ||
        !rpc_map_get(buf_view(&map), "facts", &facts) ||
        !rpc_map_text(buf_view(&map), "head", &head) ||
        !text_read_hex(head, entry->head, HASH_SIZE))
        return false;
    buf_put_text(&entry->bytes, "what=");
    buf_put(&entry->bytes, what);
    buf_put_u8(&entry->bytes, '\n');
    return take_fact(facts, &entry->bytes);
}

/* The text itself too: an entry reads back as exactly its line. */
static bool is_as_written(const struct store_audit *entry, struct view line)
{
    _buf_ again = { 0 };

    audit_put_json(entry, &again);
    return view_eq(buf_view(&again), line);
}

static bool follows(const struct check *check, const struct store_audit *entry)
{
    if (!check->last.is_set && entry->no != 1)
        return check->line == 1; /* an export from the middle: its first line is where it begins */
    return audit_follows(entry, check->last.no, check->last.head);
}

/* Where the audit was sealed up to right before the first line, one of the others says after which head that comes. */
static bool fits_first(const struct check *check, const struct store_audit *entry)
{
    struct seal_point point;

    return !check->first.no || !seal_entry_read(entry, &point) || point.no + 1 != check->first.no ||
           audit_follows(&check->first, point.no, point.head);
}

static void keep_first(struct check *check, const struct store_audit *entry)
{
    check->first.no = entry->no;
    check->first.at = entry->at;
    buf_put(&check->first.bytes, buf_view(&entry->bytes));
    memcpy(check->first.head, entry->head, HASH_SIZE);
}

static bool take_line(struct check *check, struct view line)
{
    struct store_audit entry = { 0 };
    bool ok = read_line(line, &entry) && is_as_written(&entry, line) && follows(check, &entry);

    if (ok && check->line == 1 && entry.no != 1 && !check->last.is_set)
        keep_first(check, &entry);
    ok = ok && fits_first(check, &entry);
    if (ok) {
        check->last = (struct point){ .is_set = true, .no = entry.no };
        memcpy(check->last.head, entry.head, HASH_SIZE);
        check->n++;
    }
    if (ok && check->witness.is_set && check->witness.no == entry.no) {
        check->has_met = true;
        ok = memcmp(check->witness.head, entry.head, HASH_SIZE) == 0;
    }
    buf_free(&entry.bytes);
    return ok;
}

static int read_failed(FILE *file, const char *path)
{
    struct err err;

    err_errno(&err, "%s", path);
    if (file != stdin)
        fclose(file);
    return verb_fail(&err);
}

static int check_file(struct check *check, const char *path)
{
    _free_ char *line = NULL;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    struct err err;
    size_t size = 0;
    ssize_t len;
    bool ok = true;

    if (!file) {
        err_errno(&err, "%s", path);
        return verb_fail(&err);
    }
    while (ok && (len = getline(&line, &size, file)) > 0) {
        bool is_ended = line[len - 1] == '\n';
        check->line++;
        ok = is_ended && take_line(check, VIEW((const uint8_t *)line, (size_t)len - 1));
    }
    if (ferror(file) && ok) /* a folder, a disk that fails: what there was of it is not all */
        return read_failed(file, path);
    if (file != stdin)
        fclose(file);
    if (ok && check->n == 0 && !check->last.is_set) {
        err_set(&err, ERR_INVALID_ARGUMENT, "%s: it has no entry", path);
        return verb_fail(&err);
    }
    if (ok)
        return VERB_DONE;
    fprintf(stderr,
            "warren-den: %s:%" PRIu64
            ": this entry is changed or out of order, or one before it is missing; the %" PRIu64
            " before it are whole\n",
            path, check->line, check->n);
    return VERB_FAILED;
}

int verb_audit_check(int argc, char **argv)
{
    static const char *const alone_names[] = { "FILE" };
    const char *file = NULL, *after = NULL, *witness = NULL;
    const struct args_option options[] = { { "after", &after, false },
                                           { "witness", &witness, false } };
    _cleanup_(check_deinit) struct check check = { 0 };
    struct err err;
    int status;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), alone_names, &file, 1, &err) ||
        !read_point("after", after, &check.last, &err) ||
        !read_point("witness", witness, &check.witness, &err))
        return verb_misuse(&err);
    status = check_file(&check, file);
    if (status != VERB_DONE)
        return status;
    if (check.witness.is_set && !check.has_met) {
        fprintf(stderr,
                "warren-den: %s: it ends with entry %" PRIu64
                ", and a witness heard of entry %" PRIu64 ": what followed is missing\n",
                file, check.last.no, check.witness.no);
        return VERB_FAILED;
    }
    return say_whole(check.n, 0, check.last.no, check.last.head, &check.witness);
}
