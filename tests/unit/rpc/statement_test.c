/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "rpc/message.h"
#include "tests/check.h"
#include "tests/unit/rpc/samples.h"

/* Made with another implementation: the encoding, the hash and the signature. */
TEST(the_test_vector)
{
    static const char hash_hex[] =
        "0d8303287a5d8c52cfebbcb8cdef213e8e83d5f8a1c0021ba994d31988e47009";
    static const char sig_hex[] =
        "989cb50ec7524d9aec76142661ceaf4311d07291307f474a7c0228ec511fe22c"
        "9989e1bcefb1e05602da53106da5732afda135cbcdc71a527aa564ef6f516c0d";
    static const uint8_t body[] = { 0x81, 0xa3, 0x63, 0x73, 0x72, 0xc4, 0x03, 0x01, 0x02, 0x03 };
    _cleanup_(key_freep) struct key *identity = sample_identity();
    _cleanup_(key_freep) struct key *den = sample_den();
    uint8_t netid[HASH_SIZE], body_hash[HASH_SIZE], beacon[RPC_BEACON], nonce[RPC_NONCE16];
    uint8_t hash[HASH_SIZE], wanted_hash[HASH_SIZE], sig[SIG_SIZE], wanted_sig[SIG_SIZE];
    struct rpc_request request, back;
    _buf_ bytes = { 0 };
    struct err err;

    hash_sha256(VIEW_LIT("genesis root der"), netid);
    hash_sha256(VIEW_ARR(body), body_hash);
    memset(beacon, 0x11, sizeof(beacon));
    memset(nonce, 0x22, sizeof(nonce));
    request = (struct rpc_request){
        VIEW_ARR(netid),  key_public_view(den), VIEW_LIT("456000"),  VIEW_LIT("den.ca.sign"),
        VIEW_ARR(beacon), VIEW_ARR(nonce),      VIEW_ARR(body_hash),
    };
    rpc_statement_sign(RPC_W_REQUEST, &request, identity, &bytes, sig);
    CHECK_U64(bytes.len, 191);
    hash_sha256(buf_view(&bytes), hash);
    CHECK(text_read_hex(view_text(hash_hex), wanted_hash, HASH_SIZE));
    CHECK(text_read_hex(view_text(sig_hex), wanted_sig, SIG_SIZE));
    CHECK_VIEW(VIEW_ARR(hash), VIEW_ARR(wanted_hash));
    CHECK_VIEW(VIEW_ARR(sig), VIEW_ARR(wanted_sig));

    CHECK_OK(rpc_statement_open(RPC_W_REQUEST, key_public_view(identity), buf_view(&bytes),
                                VIEW_ARR(wanted_sig), &back, &err),
             err);
    CHECK_VIEW(back.procedure, VIEW_LIT("den.ca.sign"));
    CHECK_VIEW(back.body_hash, VIEW_ARR(body_hash));
}

TEST(every_word_survives_and_is_no_other_word)
{
    for (enum rpc_word word = 0; word < RPC_N_WORDS; word++) {
        union rpc_any_statement any, back;
        _buf_ bytes = { 0 };
        _buf_ again = { 0 };
        struct err err;
        sample_statement(word, &any);
        rpc_statement_write(word, &any, &bytes);
        CHECK(bytes.data[0] != 0x30 &&
              bytes.len != 32); /* neither DER nor a cryptosign challenge */
        CHECK_OK(rpc_statement_read(word, buf_view(&bytes), &back, &err), err);
        rpc_statement_write(word, &back, &again);
        CHECK_VIEW(buf_view(&again), buf_view(&bytes));
        for (enum rpc_word other = 0; other < RPC_N_WORDS; other++) {
            if (other != word)
                CHECK_ERR(rpc_statement_read(other, buf_view(&bytes), &back, &err), err,
                          ERR_BAD_STATEMENT);
        }
    }
}

TEST(every_strict_prefix_is_refused_and_so_is_one_byte_more)
{
    for (enum rpc_word word = 0; word < RPC_N_WORDS; word++) {
        union rpc_any_statement any, back;
        _buf_ bytes = { 0 };
        struct err err;
        sample_statement(word, &any);
        rpc_statement_write(word, &any, &bytes);
        for (size_t n = 0; n < bytes.len; n++) {
            _buf_ prefix = buf_dup(view_sub(buf_view(&bytes), 0, n));
            CHECK_ERR(rpc_statement_read(word, buf_view(&prefix), &back, &err), err,
                      ERR_BAD_STATEMENT);
        }
        buf_put_u8(&bytes, 0);
        CHECK_ERR(rpc_statement_read(word, buf_view(&bytes), &back, &err), err, ERR_BAD_STATEMENT);
        CHECK(strstr(err.text, "bytes left over"));
    }
}

/* What a changed byte makes is refused, or is another statement that is written as these bytes: one
 * form a statement. */
TEST(no_two_forms_of_one_statement)
{
    for (enum rpc_word word = 0; word < RPC_N_WORDS; word++) {
        union rpc_any_statement any, back;
        _buf_ bytes = { 0 };
        sample_statement(word, &any);
        rpc_statement_write(word, &any, &bytes);
        for (size_t i = 0; i < bytes.len; i++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                struct err err;
                bytes.data[i] ^= (uint8_t)(1u << bit);
                if (rpc_statement_read(word, buf_view(&bytes), &back, &err)) {
                    _buf_ again = { 0 };
                    rpc_statement_write(word, &back, &again);
                    CHECK_VIEW(buf_view(&again), buf_view(&bytes));
                }
                bytes.data[i] ^= (uint8_t)(1u << bit);
            }
        }
    }
}

/* A statement of `word` in which field number `i` holds `field` instead. */
static struct buf with_field(enum rpc_word word, size_t i, struct view field)
{
    const struct rpc_word_shape *shape = rpc_word_shape(word);
    union rpc_any_statement any;
    _buf_ whole = { 0 };
    struct buf bytes = { 0 };
    struct view rest, item;
    size_t n_head = strlen("warren/1 ") + strlen(shape->word) + 2;
    uint32_t len;

    sample_statement(word, &any);
    rpc_statement_write(word, &any, &whole);
    rest = buf_view(&whole);
    view_take(&rest, n_head, &item);
    buf_put(&bytes, item);
    for (size_t k = 0; k < shape->n_fields; k++) {
        if (!view_take_u32(&rest, &len) || !view_take(&rest, len, &item))
            abort();
        item = k == i ? field : item;
        buf_put_u32(&bytes, (uint32_t)item.len);
        buf_put(&bytes, item);
    }
    return bytes;
}

TEST(bad_fields_are_named)
{
    static const struct {
        enum rpc_word word;
        size_t field;
        struct view bytes;
        const char *why;
    } cases[] = {
        { RPC_W_REQUEST, 0, VIEW_LIT("short"), "request: netid: of a wrong length" },
        { RPC_W_REQUEST, 1, VIEW_LIT(""), "request: den_pk: of a wrong length" },
        { RPC_W_REQUEST, 2, VIEW_LIT("456 000"), "request: id: not an ID of 6 to 9 digits" },
        { RPC_W_REQUEST, 2, VIEW_LIT("45600"), "request: id: not an ID of 6 to 9 digits" },
        { RPC_W_REQUEST, 2, VIEW_LIT("4560000000"), "request: id: not an ID of 6 to 9 digits" },
        { RPC_W_REQUEST, 3, VIEW_LIT("den..sign"), "request: procedure: not a procedure" },
        { RPC_W_REQUEST, 3, VIEW_LIT("den.s\xc3\xa4ge"), "request: procedure: not a procedure" },
        { RPC_W_ENROL, 1, VIEW_LIT("Corp.example"), "enrol: network: not a network's name" },
        { RPC_W_ENROL, 5, VIEW_LIT("x"), "enrol: token_pk: of a wrong length" },
        { RPC_W_ENROL, 6, VIEW_LIT("a\nb"), "enrol: host: not printable, or too long" },
        { RPC_W_ENROL, 6,
          VIEW_LIT("12345678901234567890123456789012345678901234567890123456789012345"),
          "enrol: host: not printable, or too long" },
        { RPC_W_ADMISSION, 4, VIEW_LIT("root"), "admission: role: neither peer nor admin" },
        { RPC_W_ADMISSION, 5, VIEW_LIT("\0\0\0\0\0\0\0\0"), "admission: adm_no: 0" },
        { RPC_W_ADMISSION, 6, VIEW_LIT("\0\0\0\1"), "admission: issued_at: not 8 bytes" },
        { RPC_W_NETSIGN_ROUTER, 2, VIEW_LIT("tls-unique"),
          "netsign-router: binding: not a binding" },
        { RPC_W_GRANT, 9, VIEW_LIT("\2"), "grant: consent: out of range" },
        { RPC_W_GRANT, 9, VIEW_LIT("\0\1"), "grant: consent: out of range" },
        { RPC_W_GRANT, 7, VIEW_LIT(""), "grant: caps: cut short" },
        { RPC_W_GRANT, 7, VIEW_LIT("\0\1"), "grant: caps: cut short" },
        { RPC_W_GRANT, 7, VIEW_LIT("\0\1\0\0\0\0"),
          "grant: caps: an item is empty, too long or not visible text" },
        { RPC_W_GRANT, 7, VIEW_LIT("\0\1\0\0\0\3a b"),
          "grant: caps: an item is empty, too long or not visible text" },
        { RPC_W_GRANT, 7, VIEW_LIT("\0\1\0\0\0\1a!"), "grant: caps: bytes left over" },
        { RPC_W_GRANT, 7,
          VIEW_LIT("\0\1\xff\xff\xff\xff"
                   "a"),
          "grant: caps: cut short" },
        { RPC_W_GRANT, 7, VIEW_LIT("\0\x11"), "grant: caps: more than 16 items" },
        { RPC_W_MANIFEST, 4, VIEW_LIT("\0\0"), "manifest: roots: none" },
        { RPC_W_MANIFEST, 4, VIEW_LIT("\0\1\0\0\0\1a"), "manifest: roots: not a hash" },
        { RPC_W_MANIFEST, 6, VIEW_LIT("\0\1\0\0\0\1a"), "manifest: keys: not a key entry" },
        { RPC_W_MANIFEST, 6, VIEW_LIT("\0\x41"), "manifest: keys: more than 64 keys" },
        { RPC_W_MANIFEST, 2, VIEW_LIT("\0\0\0\0\0\0\0\1"),
          "manifest: previous: zero in the first manifest, and only there" },
        { RPC_W_MANIFEST, 7, VIEW_LIT("\0\0\1\xb0\0\0\0\0"),
          "manifest: not_after: more than 400 days after issued_at, or before it" },
        { RPC_W_MANIFEST, 8, VIEW_LIT("\0\0\1\xb0\0\0\0\0"),
          "manifest: not_after: more than 400 days after issued_at, or before it" },
        { RPC_W_HEARTBEAT, 1, VIEW_LIT("\0\0\0\0\0\0\0\0"), "heartbeat: hb_no: 0" },
        { RPC_W_REVOKE, 1, VIEW_LIT("\0\0\0\0\0\0\0\1"),
          "revoke: previous: zero in the first revocation, and only there" },
        { RPC_W_REVOKE, 3, VIEW_LIT("\0"), "revoke: kind: none" },
        { RPC_W_REVOKE, 3, VIEW_LIT("\5"), "revoke: kind: out of range" },
        { RPC_W_REVOKE, 3, VIEW_LIT("\4"), "revoke: subject: of a wrong length" },
        { RPC_W_REVOKE, 4, VIEW_LIT("Router"), "revoke: id: neither an ID nor 1 to 15 of a-z 0-9" },
        { RPC_W_REVOKE, 5, VIEW_LIT(""), "revoke: subject: of a wrong length" },
        { RPC_W_REVOKE, 5, VIEW_LIT("short"), "revoke: subject: of a wrong length" },
        { RPC_W_REVOKE, 6, VIEW_LIT("\13"), "revoke: reason: out of range" },
        { RPC_W_REAUTH, 5, VIEW_LIT("\0\0\0\0\0\0\0\0"), "reauth: counter: 0" },
        { RPC_W_TIME, 1, VIEW_LIT("not 16 bytes"), "time: nonce: of a wrong length" },
        { RPC_W_TIME, 2, VIEW_LIT("short"), "time: time: not 8 bytes" },
    };
    union rpc_any_statement any;
    struct err err;

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ bytes = with_field(cases[i].word, cases[i].field, cases[i].bytes);
        CHECK_ERR(rpc_statement_read(cases[i].word, buf_view(&bytes), &any, &err), err,
                  ERR_BAD_STATEMENT);
        CHECK_STR(err.text, cases[i].why);
    }
}

TEST(empty_where_empty_is_allowed)
{
    static const struct {
        enum rpc_word word;
        size_t field;
    } cases[] = {
        { RPC_W_ENROL, 5 }, { RPC_W_ENROL, 6 }, { RPC_W_ADMISSION, 8 }, { RPC_W_NETSIGN_CLIENT, 9 }
    };
    union rpc_any_statement any;
    struct err err;

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ bytes = with_field(cases[i].word, cases[i].field, (struct view){ 0 });
        CHECK_OK(rpc_statement_read(cases[i].word, buf_view(&bytes), &any, &err), err);
    }
}

TEST(a_wrong_signature_is_found_before_anything_is_read)
{
    _cleanup_(key_freep) struct key *identity = sample_identity();
    _cleanup_(key_freep) struct key *den = sample_den();
    union rpc_any_statement any;
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };
    struct err err;

    sample_statement(RPC_W_DIAL, &any);
    rpc_statement_sign(RPC_W_DIAL, &any, identity, &bytes, sig);
    CHECK_OK(rpc_statement_open(RPC_W_DIAL, key_public_view(identity), buf_view(&bytes),
                                VIEW_ARR(sig), &any, &err),
             err);
    CHECK_ERR(rpc_statement_open(RPC_W_DIAL, key_public_view(den), buf_view(&bytes), VIEW_ARR(sig),
                                 &any, &err),
              err, ERR_BAD_SIGNATURE);
    CHECK_STR(err.text, "dial: the signature does not verify");
    CHECK_ERR(rpc_statement_open(RPC_W_DIAL, key_public_view(identity), buf_view(&bytes),
                                 VIEW(sig, 63), &any, &err),
              err, ERR_BAD_SIGNATURE);
    bytes.data[bytes.len - 1] ^= 1;
    CHECK_ERR(rpc_statement_open(RPC_W_DIAL, key_public_view(identity), buf_view(&bytes),
                                 VIEW_ARR(sig), &any, &err),
              err, ERR_BAD_SIGNATURE);
    buf_clear(&bytes);
    CHECK_ERR(rpc_statement_open(RPC_W_DIAL, key_public_view(identity), buf_view(&bytes),
                                 VIEW_ARR(sig), &any, &err),
              err, ERR_BAD_SIGNATURE);
    /* a good signature over another word */
    sample_statement(RPC_W_ACCEPT, &any);
    rpc_statement_sign(RPC_W_ACCEPT, &any, identity, &bytes, sig);
    CHECK_ERR(rpc_statement_open(RPC_W_DIAL, key_public_view(identity), buf_view(&bytes),
                                 VIEW_ARR(sig), &any, &err),
              err, ERR_BAD_STATEMENT);
}

TEST(a_request_carries_body_statement_and_signature)
{
    _cleanup_(key_freep) struct key *identity = sample_identity();
    union rpc_any_statement context, other;
    struct view body, r, sig, body2, r2;
    struct rpc_request request;
    uint8_t hash[HASH_SIZE];
    _buf_ args = { 0 };
    _buf_ args2 = { 0 };
    struct rpc_fields f;
    struct err err;

    sample_statement(RPC_W_REQUEST, &context);
    rpc_request_put(&args, identity, &context.request, "den.identity.refresh", VIEW_LIT("\x80"));
    rpc_fields_open(&f, buf_view(&args));
    body = rpc_fields_bin(&f, "body", 10);
    r = rpc_fields_bin(&f, "request", RPC_MAX_STATEMENT);
    sig = rpc_fields_fixed(&f, "signature", SIG_SIZE);
    CHECK_OK(rpc_fields_end(&f, &err), err);
    CHECK_OK(rpc_statement_open(RPC_W_REQUEST, key_public_view(identity), r, sig, &request, &err),
             err);
    hash_sha256(body, hash);
    CHECK_VIEW(request.body_hash, VIEW_ARR(hash));
    CHECK_VIEW(request.procedure, VIEW_LIT("den.identity.refresh"));
    CHECK_VIEW(request.beacon, context.request.beacon);

    rpc_request_put(&args2, identity, &context.request, "den.identity.refresh", VIEW_LIT("\x80"));
    rpc_fields_open(&f, buf_view(&args2));
    body2 = rpc_fields_bin(&f, "body", 10);
    r2 = rpc_fields_bin(&f, "request", RPC_MAX_STATEMENT);
    CHECK_VIEW(body2, body);
    CHECK_OK(rpc_statement_read(RPC_W_REQUEST, r2, &other, &err), err);
    CHECK(!view_eq(other.request.nonce, request.nonce));
}
