/* SPDX-License-Identifier: Apache-2.0 */
/* `warren-den root sign`: where the root's key is. It knows nothing but its key, the request, and what it has signed before. */
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "den/args.h"
#include "den/passphrase.h"
#include "den/root_key.h"
#include "den/verb.h"
#include "vault/token.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

struct signing {
    const char *request_path, *out, *record_path;
    struct root_key_source old, new;
    bool is_sure, is_again;
    uint64_t now;
    struct root_order order;
    struct root_answer answer;
};

static void signing_deinit(struct signing *s)
{
    root_order_deinit(&s->order);
    root_answer_deinit(&s->answer);
}

/* ---- what was signed before -------------------------------------------------------------------- */

static uint64_t wanted_no(const struct signing *s)
{
    return s->order.trust ? rpc_trust_manifest_no(s->order.trust) + 1 : 1;
}

/* Lines "NETID NUMBER SHA-256 TIME"; the highest number of this network. */
static uint64_t highest_signed(struct view record, struct view netid_hex)
{
    uint64_t highest = 0;

    while (record.len) {
        const uint8_t *end = memchr(record.data, '\n', record.len);
        struct view line = VIEW(record.data, end ? (size_t)(end - record.data) : record.len);
        const uint8_t *space;
        uint64_t no = 0;

        record = view_sub(record, line.len + 1, record.len);
        if (!view_starts(line, netid_hex) || line.len < netid_hex.len + 2)
            continue;
        line = view_sub(line, netid_hex.len + 1, line.len);
        space = memchr(line.data, ' ', line.len);
        if (space && text_read_u64(VIEW(line.data, (size_t)(space - line.data)), &no) &&
            no > highest)
            highest = no;
    }
    return highest;
}

static void put_netid(const struct signing *s, struct buf *hex)
{
    uint8_t hash[HASH_SIZE];

    if (s->order.trust) {
        text_put_hex(hex, rpc_trust_netid(s->order.trust));
        return;
    }
    hash_sha256(buf_view(&s->answer.root), hash);
    text_put_hex(hex, VIEW_ARR(hash));
}

/* Two manifests of one number would split the network: whoever asks for a second one shows the root an older state. */
static bool check_record(const struct signing *s, struct err *err)
{
    _buf_ record = { 0 }, netid = { 0 };
    uint64_t highest;

    if (!s->order.trust || !file_exists(s->record_path))
        return true;
    if (!file_read(s->record_path, ROOT_MAX_FILE, &record, err))
        return false;
    put_netid(s, &netid);
    highest = highest_signed(buf_view(&record), buf_view(&netid));
    return highest < wanted_no(s) || (s->is_again && highest == wanted_no(s)) ||
           err_set(err, ERR_STALE,
                   "%s: manifest %" PRIu64 " of this network is signed already, and the request is "
                   "for number %" PRIu64
                   ": two of one number would split the network. Only if that response was lost, "
                   "and den never took it: --again",
                   s->record_path, highest, wanted_no(s));
}

static bool add_record(const struct signing *s, struct err *err)
{
    uint8_t hash[HASH_SIZE];
    char at[CLOCK_TEXT];
    _buf_ line = { 0 };

    put_netid(s, &line);
    hash_sha256(buf_view(&s->answer.manifest), hash);
    buf_printf(&line, " %" PRIu64 " ", wanted_no(s));
    text_put_hex(&line, VIEW_ARR(hash));
    buf_printf(&line, " %s\n", clock_text(s->now, at));
    return file_exists(s->record_path) ? file_append(s->record_path, buf_view(&line), err)
                                       : file_create(s->record_path, buf_view(&line), 0600, err);
}

/* ---- asking ------------------------------------------------------------------------------------- */

static bool ask(struct err *err)
{
    static const char question[] = "Sign this? Answer yes or no: ";
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    char answer[16];
    ssize_t n;

    if (tty < 0)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "no terminal to ask on: read the above, then give --yes");
    n = write(tty, question, sizeof(question) - 1);
    n = n < 0 ? n : read(tty, answer, sizeof(answer));
    close(tty);
    return (n == 4 && memcmp(answer, "yes\n", 4) == 0) || err_set(err, ERR_CANCELED, "not signed");
}

static bool read_order(struct signing *s, struct err *err)
{
    _buf_ text = { 0 };

    if (file_exists(s->out))
        return err_set(err, ERR_ALREADY_EXISTS, "%s exists; nothing was overwritten", s->out);
    return file_read(s->request_path, ROOT_MAX_FILE, &text, err) &&
           root_order_read(s->request_path, buf_view(&text), &s->order, err);
}

static bool check_order(const struct signing *s, struct err *err)
{
    const struct change change = { .step = s->order.step,
                                   .what = s->order.what,
                                   .pk = buf_view(&s->order.pk) };

    if (s->order.made_at > s->now + 10 * MINUTE_MS)
        return err_set(err, ERR_BAD_STATEMENT,
                       "%s: was made in the future: check the clocks of both machines",
                       s->request_path);
    if (change_needs_root(&change) && !s->new.key)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "a new root is asked for: --new-root-key FILE says where its key is, or is "
                       "to be written");
    return (!s->order.trust || change_check(s->order.trust, &change, err)) && check_record(s, err);
}

static bool sign(struct signing *s, struct err *err)
{
    const struct change change = { .step = s->order.step, .what = s->order.what };
    _cleanup_(pki_ca_freep) struct pki_ca *root = NULL, *fresh = NULL;
    bool is_new;

    if (!(s->order.trust
              ? root_key_load(&s->old, s->order.trust, &root, err)
              : root_key_make(&s->old, s->order.network, s->now, &root, NULL, &is_new, err)))
        return false;
    if (change_needs_root(&change) &&
        !root_key_make(&s->new, s->order.network, s->now, &fresh, NULL, &is_new, err))
        return false;
    return root_sign(&s->order, &(struct root_signers){ root, fresh }, s->now, &s->answer, err);
}

/* init prints it too: whoever compares them knows that the response came from here. */
static void print_new_root(const struct signing *s)
{
    _buf_ netid = { 0 };

    put_netid(s, &netid);
    printf("the root's SHA-256 is %s: init prints the same on den's machine\n", buf_cstr(&netid));
}

static bool run(struct signing *s, struct err *err)
{
    _buf_ words = { 0 }, text = { 0 };

    if (!read_order(s, err))
        return false;
    root_describe(&s->order, s->now, &words);
    printf("%s", buf_cstr(&words));
    fflush(stdout);
    if (!check_order(s, err) || (!s->is_sure && !ask(err)) || !sign(s, err) || !add_record(s, err))
        return false;
    root_answer_write(&s->answer, &text);
    if (!file_create(s->out, buf_view(&text), 0644, err))
        return false;
    if (!s->order.trust)
        print_new_root(s);
    return true;
}

/* ---- the words ---------------------------------------------------------------------------------- */

static bool read_fd(const char *name, const char *text, int *ret_fd, struct err *err)
{
    uint64_t n;

    *ret_fd = PASSPHRASE_PROMPT;
    if (!text)
        return true;
    if (!text_read_u64(view_text(text), &n) || n > 65535)
        return err_set(err, ERR_INVALID_ARGUMENT, "--%s: expected the number of an open file",
                       name);
    *ret_fd = (int)n;
    return true;
}

int verb_root_sign(int argc, char **argv)
{
    static const char *const alone_names[] = { "REQUEST" };
    static char long_out[] = "--out";
    _cleanup_(signing_deinit) struct signing s = { .now = clock_wall_ms() };
    _free_ char *beside = NULL;
    const char *fd = NULL, *new_fd = NULL;
    const struct args_option options[] = {
        { "root-key", &s.old.key, true },      { "root-passphrase-fd", &fd, false },
        { "new-root-key", &s.new.key, false }, { "new-root-passphrase-fd", &new_fd, false },
        { "record", &s.record_path, false },   { "out", &s.out, true },
        { "yes", NULL, false, &s.is_sure },    { "again", NULL, false, &s.is_again },
    };
    struct err err;

    for (int i = 0; i < argc; i++)
        argv[i] = strcmp(argv[i], "-o") == 0 ? long_out : argv[i];
    if (!args_read(argc, argv, options, N_ELEMENTS(options), alone_names, &s.request_path, 1,
                   &err) ||
        !read_fd("root-passphrase-fd", fd, &s.old.passphrase_fd, &err) ||
        !read_fd("new-root-passphrase-fd", new_fd, &s.new.passphrase_fd, &err))
        return verb_misuse(&err);
    if (token_is_uri(view_text(s.old.key)) && !s.record_path) {
        err_set(&err, ERR_INVALID_ARGUMENT,
                "--record FILE is missing: a root in a token needs a file for what it has signed");
        return verb_misuse(&err);
    }
    beside = mem_format("%s.signed", s.old.key);
    s.record_path = s.record_path ? s.record_path : beside;
    log_open("warren-den", LOG_WARN);
    if (!run(&s, &err))
        return verb_fail(&err);
    printf("%s: take it back to den's machine\n", s.out);
    return VERB_DONE;
}
