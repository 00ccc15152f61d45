/* SPDX-License-Identifier: Apache-2.0 */
/* PROTOCOL.md says what goes over the wire; this replays its examples and compares its tables with
 * the code's. */
#include "base/file.h"
#include "base/text.h"
#include "rpc/rpc.h"
#include "rpc/statement_words.h"
#include "tests/check.h"
#include "tests/unit/rpc/json.h"

#include <inttypes.h>

static struct buf document(void)
{
    _free_ char *path = mem_format("%s/rpc/PROTOCOL.md", check_source_root());
    struct buf text = { 0 };
    struct err err;

    if (!file_read(path, 1024 * 1024, &text, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    return text;
}

/* The next line, without its end. */
static bool take_line(struct view *text, struct view *ret_line)
{
    size_t n = 0;

    if (text->len == 0)
        return false;
    while (n < text->len && text->data[n] != '\n')
        n++;
    *ret_line = view_sub(*text, 0, n);
    *text = view_sub(*text, n + 1, text->len);
    return true;
}

/* The lines up to an empty one or the end. */
static struct view take_paragraph(struct view *text)
{
    struct view whole = *text, line;
    size_t n = 0;

    while (take_line(text, &line) && line.len)
        n = (size_t)(line.data - whole.data) + line.len;
    return view_sub(whole, 0, n);
}

/* The next block fenced with ```KIND NAME. */
static bool take_block(struct view *text, const char *kind, struct view *ret_name,
                       struct view *ret_body)
{
    _free_ char *fence = mem_format("```%s", kind);
    struct view line, start = view_text(fence);

    while (take_line(text, &line)) {
        if (!view_starts(line, start) || (line.len > start.len && line.data[start.len] != ' '))
            continue;
        *ret_name = view_sub(line, start.len + 1, line.len);
        *ret_body = *text;
        while (take_line(text, &line)) {
            if (view_eq_text(line, "```")) {
                ret_body->len = (size_t)(line.data - ret_body->data);
                return true;
            }
        }
        check_failed(__FILE__, __LINE__, "a block without an end");
    }
    return false;
}

static bool contains(struct view text, const char *what)
{
    return memmem(text.data, text.len, what, strlen(what)) != NULL;
}

static struct buf unhex(struct view text)
{
    struct buf digits = { 0 }, bytes = { 0 };

    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] != '\n')
            buf_put_u8(&digits, text.data[i]);
    }
    if (!text_read_hex(buf_view(&digits), buf_grow(&bytes, digits.len / 2), digits.len / 2))
        check_failed(__FILE__, __LINE__, "not hexadecimal: %.*s", VIEW_FMT(text));
    buf_free(&digits);
    return bytes;
}

/* ---- messages ------------------------------------------------------------------------------- */

/* Its JSON is its bytes, and reading and writing them gives them again. */
static enum rpc_type replay_message(struct view name, struct view body)
{
    struct view json = take_paragraph(&body), hex = take_paragraph(&body);
    _buf_ bytes = unhex(hex);
    _buf_ said = { 0 };
    _buf_ again = { 0 };
    struct rpc_msg msg;
    struct err err = { 0 };

    CHECK(json_to_msgpack(json, &said));
    CHECK_VIEW(buf_view(&said), buf_view(&bytes));
    if (!rpc_msg_read(buf_view(&bytes), &msg, &err)) {
        check_failed(__FILE__, __LINE__, "%s", err.text);
        return 0;
    }
    CHECK_VIEW(name, view_text(rpc_type_name(msg.type)));
    rpc_msg_write(&msg, &again);
    CHECK_VIEW(buf_view(&again), buf_view(&bytes));
    return msg.type;
}

TEST(every_message_has_an_example_that_holds)
{
    _buf_ text = document();
    struct view rest = buf_view(&text), name, body;
    bool has[RPC_YIELD + 1] = { 0 };

    while (take_block(&rest, "example", &name, &body))
        has[replay_message(name, body)] = true;
    for (enum rpc_type type = 1; type <= RPC_YIELD; type++) {
        if (!has[type] && strcmp(rpc_type_name(type), "unknown") != 0)
            check_failed(__FILE__, __LINE__, "%s has no example", rpc_type_name(type));
    }
}

TEST(refused_examples_are_refused)
{
    _buf_ text = document();
    struct view rest = buf_view(&text), name, body;
    unsigned n = 0;

    for (; take_block(&rest, "refused", &name, &body); n++) {
        struct view json = take_paragraph(&body), why = take_paragraph(&body);
        _free_ char *wanted = view_dup_text(why);
        _buf_ bytes = { 0 };
        struct rpc_msg msg;
        struct err err;
        CHECK(json_to_msgpack(json, &bytes));
        CHECK(!rpc_msg_read(buf_view(&bytes), &msg, &err));
        CHECK(err.code == ERR_BAD_WIRE || err.code == ERR_INVALID_URI);
        CHECK_STR(err.text, wanted);
    }
    CHECK(n > 0);
}

/* ---- errors --------------------------------------------------------------------------------- */

static void put_error_row(struct buf *to, enum err_code code)
{
    _buf_ uri = { 0 };

    rpc_error_uri("<ns>", code, &uri);
    buf_printf(to, "| `%s` | `%.*s` | %s | %s |\n", err_code_name(code), VIEW_FMT(buf_view(&uri)),
               err_code_line(code), err_code_remedy(code));
}

TEST(every_error_stands_in_the_table)
{
    _buf_ text = document();

    for (enum err_code code = 1; code < ERR_N_CODES; code++) {
        _buf_ row = { 0 };
        put_error_row(&row, code);
        if (!contains(buf_view(&text), buf_cstr(&row)))
            check_failed(__FILE__, __LINE__, "missing: %s", buf_cstr(&row));
    }
}

/* ---- statements ----------------------------------------------------------------------------- */

static void put_field_kind(struct buf *to, const struct rpc_field *field)
{
    switch (field->kind) {
    case RPC_F_FIXED:
        buf_printf(to, "%zu", field->size);
        return;
    case RPC_F_MAYBE:
        buf_printf(to, "%zu or 0", field->size);
        return;
    case RPC_F_BYTES:
        buf_printf(to, "1-%zu", field->size);
        return;
    case RPC_F_U8:
        buf_put_text(to, "u8");
        return;
    case RPC_F_TIME:
    case RPC_F_NUMBER:
        buf_put_text(to, "u64");
        return;
    case RPC_F_HASHES:
        buf_put_text(to, "[32]");
        return;
    case RPC_F_TEXTS:
        buf_put_text(to, "[text]");
        return;
    case RPC_F_KEYS:
        buf_put_text(to, "[49]");
        return;
    case RPC_F_NETWORK:
    case RPC_F_ID:
    case RPC_F_OWNER:
    case RPC_F_NAME:
    case RPC_F_ROLE:
    case RPC_F_BINDING:
    case RPC_F_PROCEDURE:
    case RPC_F_HOST:
        buf_put_text(to, "text");
    }
}

static void put_word_row(struct buf *to, enum rpc_word word)
{
    const struct rpc_word_shape *shape = rpc_word_shape(word);

    for (size_t i = 0; i < shape->n_fields; i++) {
        buf_printf(to, "%s%s ", i ? ", " : "", shape->fields[i].name);
        put_field_kind(to, &shape->fields[i]);
    }
    buf_put_text(to, " |\n");
}

TEST(every_word_stands_in_the_table_with_its_fields)
{
    _buf_ text = document();

    for (enum rpc_word word = 0; word < RPC_N_WORDS; word++) {
        _buf_ row = { 0 };
        _free_ char *start = mem_format("| `%s` | ", rpc_word_name(word));
        put_word_row(&row, word);
        if (!contains(buf_view(&text), buf_cstr(&row)) || !contains(buf_view(&text), start))
            check_failed(__FILE__, __LINE__, "missing: %s ... %s", start, buf_cstr(&row));
    }
}

static void put_hex_or_dash(struct buf *to, const char *name, struct view bytes)
{
    buf_printf(to, "%s ", name);
    if (bytes.len == 0)
        buf_put_text(to, "-");
    text_put_hex(to, bytes);
    buf_put_text(to, "\n");
}

static void put_items(struct buf *to, const struct rpc_field *field, const struct rpc_items *items)
{
    for (size_t i = 0; i < items->n; i++) {
        if (field->kind == RPC_F_HASHES)
            put_hex_or_dash(to, field->name, items->item[i]);
        else
            buf_printf(to, "%s %.*s\n", field->name, VIEW_FMT(items->item[i]));
    }
    if (items->n == 0)
        buf_printf(to, "%s -\n", field->name);
}

static void put_keys(struct buf *to, const char *name, const struct rpc_key_list *keys)
{
    for (size_t i = 0; i < keys->n; i++) {
        buf_printf(to, "%s %d ", name, (int)keys->item[i].role);
        text_put_hex(to, keys->item[i].pk);
        buf_printf(to, " %" PRIu64 " %" PRIu64 "\n", keys->item[i].from, keys->item[i].to);
    }
}

/* One line a field, as the document has it; a list has a line per item. */
static void put_fields(struct buf *to, enum rpc_word word, const void *statement)
{
    const struct rpc_word_shape *shape = rpc_word_shape(word);

    for (size_t i = 0; i < shape->n_fields; i++) {
        const struct rpc_field *field = &shape->fields[i];
        const void *at = (const char *)statement + field->at;
        switch (field->kind) {
        case RPC_F_FIXED:
        case RPC_F_MAYBE:
        case RPC_F_BYTES:
            put_hex_or_dash(to, field->name, *(const struct view *)at);
            break;
        case RPC_F_U8:
        case RPC_F_TIME:
        case RPC_F_NUMBER:
            buf_printf(to, "%s %" PRIu64 "\n", field->name, *(const uint64_t *)at);
            break;
        case RPC_F_HASHES:
        case RPC_F_TEXTS:
            put_items(to, field, at);
            break;
        case RPC_F_KEYS:
            put_keys(to, field->name, at);
            break;
        case RPC_F_NETWORK:
        case RPC_F_ID:
        case RPC_F_OWNER:
        case RPC_F_NAME:
        case RPC_F_ROLE:
        case RPC_F_BINDING:
        case RPC_F_PROCEDURE:
        case RPC_F_HOST:
            buf_printf(to, "%s %.*s\n", field->name, VIEW_FMT(*(const struct view *)at));
        }
    }
}

static bool find_word(struct view name, enum rpc_word *ret_word)
{
    for (enum rpc_word word = 0; word < RPC_N_WORDS; word++) {
        if (view_eq_text(name, rpc_word_name(word))) {
            *ret_word = word;
            return true;
        }
    }
    return false;
}

/* `line` is "signer-seed HEX": the example's key. */
static struct key *example_key(struct view line)
{
    static const char word[] = "signer-seed ";
    uint8_t seed[SEED_SIZE];

    if (!view_starts(line, view_text(word)) ||
        !text_read_hex(view_sub(line, strlen(word), line.len), seed, SEED_SIZE))
        return NULL;
    return key_from_seed(seed);
}

/* Fields, bytes, signature; the manifest's is ECDSA by a root and is left out. */
static void replay_statement(enum rpc_word word, struct view body)
{
    struct view fields = take_paragraph(&body), hex = take_paragraph(&body),
                sig_hex = take_paragraph(&body), line;
    _buf_ bytes = unhex(hex);
    _buf_ sig = unhex(sig_hex);
    _buf_ said = { 0 };
    union rpc_any_statement any;
    struct err err;

    if (word != RPC_W_MANIFEST) {
        CHECK(take_line(&fields, &line));
        _cleanup_(key_freep) struct key *key = example_key(line);
        uint8_t made[SIG_SIZE];
        if (!CHECK(key))
            return;
        key_sign(key, buf_view(&bytes), made);
        CHECK_VIEW(buf_view(&sig), VIEW_ARR(made));
    }
    CHECK_OK(rpc_statement_read(word, buf_view(&bytes), &any, &err), err);
    put_fields(&said, word, &any);
    CHECK_VIEW(view_sub(buf_view(&said), 0, said.len - 1), fields);
    _buf_ again = { 0 };
    rpc_statement_write(word, &any, &again);
    CHECK_VIEW(buf_view(&again), buf_view(&bytes));
}

TEST(every_statement_has_an_example_that_holds)
{
    _buf_ text = document();
    struct view rest = buf_view(&text), name, body;
    bool has[RPC_N_WORDS] = { 0 };
    enum rpc_word word;

    while (take_block(&rest, "statement", &name, &body)) {
        if (!CHECK(find_word(name, &word)))
            continue;
        replay_statement(word, body);
        has[word] = true;
    }
    for (word = 0; word < RPC_N_WORDS; word++) {
        if (!has[word])
            check_failed(__FILE__, __LINE__, "%s has no example", rpc_word_name(word));
    }
}

/* ---- join strings --------------------------------------------------------------------------- */

TEST(join_strings_of_the_document_are_read_and_written)
{
    _buf_ text = document();
    struct view rest = buf_view(&text), name, body, line;
    unsigned n = 0;

    while (take_block(&rest, "join", &name, &body)) {
        for (; take_line(&body, &line); n++) {
            _buf_ again = { 0 };
            struct rpc_join join;
            struct err err;
            CHECK_OK(rpc_join_read(line, &join, &err), err);
            rpc_join_write(&join, &again);
            CHECK_VIEW(buf_view(&again), line);
        }
    }
    CHECK(n >= 3);
}

/* ---- JSON and batches ----------------------------------------------------------------------- */

/* A text, its msgpack, and the text that comes back where it is another one. */
TEST(json_of_the_document_is_transcoded)
{
    _buf_ text = document();
    struct view rest = buf_view(&text), name, body;
    unsigned n = 0;

    for (; take_block(&rest, "json", &name, &body); n++) {
        struct view json = take_paragraph(&body), hex = take_paragraph(&body),
                    back = take_paragraph(&body);
        _buf_ bytes = unhex(hex);
        _buf_ made = { 0 };
        _buf_ again = { 0 };
        struct err err;
        CHECK_OK(rpc_json_to_msgpack(json, RPC_MAX_MESSAGE, &made, &err), err);
        CHECK_VIEW(buf_view(&made), buf_view(&bytes));
        CHECK_OK(rpc_json_from_msgpack(buf_view(&bytes), RPC_MAX_MESSAGE, &again, &err), err);
        CHECK_VIEW(buf_view(&again), back.len ? back : json);
    }
    CHECK(n >= 2);
}

TEST(json_that_the_document_refuses_is_refused)
{
    _buf_ text = document();
    struct view rest = buf_view(&text), name, body;
    unsigned n = 0;

    for (; take_block(&rest, "json-refused", &name, &body); n++) {
        struct view json = take_paragraph(&body), why = take_paragraph(&body);
        _free_ char *wanted = view_dup_text(why);
        _buf_ made = { 0 };
        struct err err;
        CHECK_ERR(rpc_json_to_msgpack(json, RPC_MAX_MESSAGE, &made, &err), err, ERR_BAD_WIRE);
        CHECK_STR(err.text, wanted);
    }
    CHECK(n >= 3);
}

TEST(batches_of_the_document_are_put_together_and_come_apart)
{
    _buf_ text = document();
    struct view rest = buf_view(&text), name, body, line;
    unsigned n = 0;

    for (; take_block(&rest, "batch", &name, &body); n++) {
        _free_ char *protocol = view_dup_text(name);
        struct rpc_ws_protocol traits = rpc_ws_protocol_named(protocol);
        struct view lines = take_paragraph(&body), hex = take_paragraph(&body), left, message;
        _buf_ bytes = unhex(hex);
        _buf_ made = { 0 };
        struct err err;
        CHECK_OK(rpc_batch_check(traits.batch, buf_view(&bytes), &err), err);
        for (left = buf_view(&bytes); take_line(&lines, &line) && line.len;) {
            _buf_ value = { 0 };
            if (!traits.is_json)
                CHECK_OK(rpc_json_to_msgpack(line, RPC_MAX_MESSAGE, &value, &err), err);
            else
                buf_put(&value, line);
            rpc_batch_put(traits.batch, buf_view(&value), &made);
            CHECK(rpc_batch_next(traits.batch, &left, &message));
            CHECK_VIEW(message, buf_view(&value));
        }
        CHECK_U64(left.len, 0);
        CHECK_VIEW(buf_view(&made), buf_view(&bytes));
    }
    CHECK_U64(n, 2);
}
