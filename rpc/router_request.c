/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/router_request.h"
#include "base/conf.h"
#include "base/text.h"

#define DOMAIN "warren/1 router-request"

enum { VERSION = 1, MAX_DER = 8192, MAX_TRUST = 96 * 1024 };

#define REQUEST_KEYS(X)                                                                            \
    X(request, NUMBER, NULL, "the form of this file: 1")                                           \
    X(host, ADDRESS, NULL, "where peers connect to")                                               \
    X(public_key, TEXT, NULL, "the router's Ed25519 key, hexadecimal")                             \
    X(csr, TEXT, NULL, "PKCS#10 for its TLS key, DER in hexadecimal")                              \
    X(signature, TEXT, NULL, "by the router's key")

#define ANSWER_KEYS(X)                                                                             \
    X(answer, NUMBER, NULL, "the form of this file: 1")                                            \
    X(network, NETWORK, NULL, "the network's name")                                                \
    X(certificate, TEXT, NULL, "the router's certificate, DER in hexadecimal")                     \
    X(chain, TEXT, NULL, "the intermediate, DER in hexadecimal")                                   \
    X(trust, TEXT, NULL, "roots and manifests, in hexadecimal")

struct request_file {
    REQUEST_KEYS(CONF_FIELD)
};
struct answer_file {
    ANSWER_KEYS(CONF_FIELD)
};
#define REQUEST_ROW(...) CONF_ROW(struct request_file, __VA_ARGS__)
#define ANSWER_ROW(...)  CONF_ROW(struct answer_file, __VA_ARGS__)
static const struct conf_option request_keys[] = { REQUEST_KEYS(REQUEST_ROW) };
static const struct conf_option answer_keys[] = { ANSWER_KEYS(ANSWER_ROW) };

static void request_file_deinit(struct request_file *file)
{
    conf_deinit(request_keys, N_ELEMENTS(request_keys), file);
}

static void answer_file_deinit(struct answer_file *file)
{
    conf_deinit(answer_keys, N_ELEMENTS(answer_keys), file);
}

static void put_signed(struct buf *to, struct view host, struct view csr)
{
    buf_put(to, VIEW(DOMAIN, sizeof(DOMAIN))); /* its NUL is the separator */
    buf_put(to, host);
    buf_put_u8(to, 0);
    buf_put(to, csr);
}

static void put_hex_line(struct buf *to, const char *key, struct view bytes)
{
    buf_printf(to, "%s = ", key);
    text_put_hex(to, bytes);
    buf_put_text(to, "\n");
}

static bool read_hex(const char *key, const char *hex, size_t max, struct buf *ret_bytes,
                     struct err *err)
{
    size_t n = strlen(hex) / 2;

    if (n > max)
        return err_set(err, ERR_BAD_CONFIG, "%s: longer than %zu bytes", key, max);
    if (!text_read_hex(view_text(hex), buf_grow(ret_bytes, n), n))
        return err_set(err, ERR_BAD_CONFIG, "%s: not hexadecimal", key);
    return true;
}

static bool read_fixed(const char *key, const char *hex, uint8_t *to, size_t size, struct err *err)
{
    if (!text_read_hex(view_text(hex), to, size))
        return err_set(err, ERR_BAD_CONFIG, "%s: not %zu bytes in hexadecimal", key, size);
    return true;
}

static bool check_form(const char *key, uint64_t version, struct err *err)
{
    if (version != VERSION)
        return err_set(err, ERR_BAD_CONFIG,
                       "%s: a form of this file that this version does not know", key);
    return true;
}

/* ---- the request ----------------------------------------------------------------------------- */

void rpc_router_request_deinit(struct rpc_router_request *request)
{
    free(STEAL(request->host));
    buf_free(&request->csr);
}

void rpc_router_request_write(const char *host, struct view csr, const struct key *key,
                              struct buf *ret_text)
{
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    put_signed(&bytes, view_text(host), csr);
    key_sign(key, buf_view(&bytes), sig);
    buf_put_text(
        ret_text,
        "# A router asks to be taken into a network; `warren-den init` or `warren-den router add`\n"
        "# answers it. Nothing in here is secret.\n");
    buf_printf(ret_text, "request = %d\nhost = %s\n", VERSION, host);
    put_hex_line(ret_text, "public_key", key_public_view(key));
    put_hex_line(ret_text, "csr", csr);
    put_hex_line(ret_text, "signature", VIEW_ARR(sig));
}

static bool read_request(const struct request_file *file, struct rpc_router_request *request,
                         struct err *err)
{
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    if (!check_form("request", file->request, err))
        return false;
    if (!read_fixed("public_key", file->public_key, request->public_key, KEY_SIZE, err))
        return false;
    if (!read_fixed("signature", file->signature, sig, SIG_SIZE, err))
        return false;
    if (!read_hex("csr", file->csr, MAX_DER, &request->csr, err))
        return false;
    request->host = mem_text(file->host);
    put_signed(&bytes, view_text(file->host), buf_view(&request->csr));
    if (!key_verify(VIEW_ARR(request->public_key), buf_view(&bytes), VIEW_ARR(sig)))
        return err_set(err, ERR_BAD_SIGNATURE, "signature: not by public_key over host and csr");
    return true;
}

bool rpc_router_request_read(const char *name, struct view text,
                             struct rpc_router_request *ret_request, struct err *err)
{
    _cleanup_(request_file_deinit) struct request_file file = { 0 };
    _cleanup_(rpc_router_request_deinit) struct rpc_router_request request = { 0 };

    if (!conf_parse(name, text, request_keys, N_ELEMENTS(request_keys), &file, NULL, err))
        return false;
    if (!read_request(&file, &request, err))
        return err_wrap(err, "%s", name);
    *ret_request = request;
    request = (struct rpc_router_request){ 0 };
    return true;
}

/* ---- the answer ------------------------------------------------------------------------------ */

void rpc_router_answer_deinit(struct rpc_router_answer *answer)
{
    free(STEAL(answer->network));
    buf_free(&answer->certificate);
    buf_free(&answer->chain);
    buf_free(&answer->trust);
}

void rpc_router_answer_write(const struct rpc_router_answer *answer, struct buf *ret_text)
{
    buf_put_text(
        ret_text,
        "# The network's answer to a router: `warren-router accept DIR FILE` installs it.\n"
        "# Nothing in here is secret.\n");
    buf_printf(ret_text, "answer = %d\nnetwork = %s\n", VERSION, answer->network);
    put_hex_line(ret_text, "certificate", buf_view(&answer->certificate));
    put_hex_line(ret_text, "chain", buf_view(&answer->chain));
    put_hex_line(ret_text, "trust", buf_view(&answer->trust));
}

static bool read_answer(const struct answer_file *file, struct rpc_router_answer *answer,
                        struct err *err)
{
    if (!check_form("answer", file->answer, err))
        return false;
    if (!read_hex("certificate", file->certificate, MAX_DER, &answer->certificate, err))
        return false;
    if (!read_hex("chain", file->chain, MAX_DER, &answer->chain, err))
        return false;
    if (!read_hex("trust", file->trust, MAX_TRUST, &answer->trust, err))
        return false;
    answer->network = mem_text(file->network);
    return true;
}

bool rpc_router_answer_read(const char *name, struct view text,
                            struct rpc_router_answer *ret_answer, struct err *err)
{
    _cleanup_(answer_file_deinit) struct answer_file file = { 0 };
    _cleanup_(rpc_router_answer_deinit) struct rpc_router_answer answer = { 0 };

    if (!conf_parse(name, text, answer_keys, N_ELEMENTS(answer_keys), &file, NULL, err))
        return false;
    if (!read_answer(&file, &answer, err))
        return err_wrap(err, "%s", name);
    *ret_answer = answer;
    answer = (struct rpc_router_answer){ 0 };
    return true;
}
