/* SPDX-License-Identifier: Apache-2.0 */
/* Orders to the root and its answers as files: lines of text, like a router's request. */
#include "base/conf.h"
#include "base/text.h"
#include "den/root.h"

#include <inttypes.h>

enum { VERSION = 1, MAX_TRUST = 256 * 1024, MAX_DER = 8192, MAX_SIG = 256 };

#define ORDER_KEYS(X)                                                                              \
    X(request, NUMBER, NULL, "the form of this file: 1")                                           \
    X(network, NETWORK, NULL, "the network's name")                                                \
    X(step, TEXT, NULL, "what is asked for")                                                       \
    X(what, TEXT, NULL, "of what")                                                                 \
    X(reason, TEXT, "", "why, a word of RFC 5280")                                                 \
    X(host, TEXT, "", "where the router is reached")                                               \
    X(made_at, NUMBER, NULL, "ms since 1970")                                                      \
    X(public_key, TEXT, "", "a new Ed25519 key, hexadecimal")                                      \
    X(login_key, TEXT, "", "den's login key, of a new network")                                    \
    X(sign_key, TEXT, "", "den's signing key, of a new network")                                   \
    X(csr, TEXT, "", "PKCS#10 of a new intermediate, DER in hexadecimal")                          \
    X(trust, TEXT, "", "roots and manifests that it stands on, in hexadecimal")

#define ANSWER_KEYS(X)                                                                             \
    X(response, NUMBER, NULL, "the form of this file: 1")                                          \
    X(request_sha256, TEXT, NULL, "of the file that it answers")                                   \
    X(manifest, TEXT, NULL, "in hexadecimal")                                                      \
    X(signatures, TEXT, NULL, "of the manifest, in hexadecimal, with spaces between")              \
    X(root, TEXT, "", "a new root, DER in hexadecimal")                                            \
    X(intermediate, TEXT, "", "a new intermediate, DER in hexadecimal")

struct order_file {
    ORDER_KEYS(CONF_FIELD)
};
struct answer_file {
    ANSWER_KEYS(CONF_FIELD)
};
#define ORDER_ROW(...)  CONF_ROW(struct order_file, __VA_ARGS__)
#define ANSWER_ROW(...) CONF_ROW(struct answer_file, __VA_ARGS__)
static const struct conf_option order_keys[] = { ORDER_KEYS(ORDER_ROW) };
static const struct conf_option answer_keys[] = { ANSWER_KEYS(ANSWER_ROW) };

static void order_file_deinit(struct order_file *file)
{
    conf_deinit(order_keys, N_ELEMENTS(order_keys), file);
}

static void answer_file_deinit(struct answer_file *file)
{
    conf_deinit(answer_keys, N_ELEMENTS(answer_keys), file);
}

/* A key that is not in the file. */
static const char *or_none(const char *text)
{
    return text ? text : "";
}

static void put_hex(struct buf *to, const char *key, struct view bytes)
{
    if (!bytes.len)
        return;
    buf_printf(to, "%s = ", key);
    text_put_hex(to, bytes);
    buf_put_text(to, "\n");
}

static bool read_hex(const char *key, struct view hex, size_t max, struct buf *ret_bytes,
                     struct err *err)
{
    size_t n = hex.len / 2;

    if (n > max)
        return err_set(err, ERR_BAD_CONFIG, "%s: longer than %zu bytes", key, max);
    if (n && !text_read_hex(hex, buf_grow(ret_bytes, n), n))
        return err_set(err, ERR_BAD_CONFIG, "%s: not hexadecimal", key);
    return hex.len % 2 == 0 || err_set(err, ERR_BAD_CONFIG, "%s: not hexadecimal", key);
}

static bool read_key(const char *name, const char *hex, struct buf *ret_pk, struct err *err)
{
    return read_hex(name, view_text(hex), KEY_SIZE, ret_pk, err) &&
           (ret_pk->len == 0 || ret_pk->len == KEY_SIZE ||
            err_set(err, ERR_BAD_CONFIG, "%s: not %d bytes in hexadecimal", name, KEY_SIZE));
}

/* ---- orders ------------------------------------------------------------------------------- */

void root_order_write(struct root_order *order)
{
    struct buf *to = &order->text;
    _buf_ trust = { 0 };

    buf_clear(to);
    buf_printf(to,
               "# What warren-den asks of its network's root: warren-den(8), \"root sign\". No "
               "secret is in it.\nrequest = %d\nnetwork = %s\nstep = %s\nwhat = %s\nmade_at = "
               "%" PRIu64 "\n",
               VERSION, order->network, change_step_name(order->step),
               change_what_name(order->what), order->made_at);
    if (*order->reason)
        buf_printf(to, "reason = %s\n", order->reason);
    if (*order->host)
        buf_printf(to, "host = %s\n", order->host);
    put_hex(to, "public_key", buf_view(&order->pk));
    put_hex(to, "login_key", buf_view(&order->login_pk));
    put_hex(to, "sign_key", buf_view(&order->sign_pk));
    put_hex(to, "csr", buf_view(&order->csr));
    if (order->trust)
        rpc_trust_save(order->trust, &trust);
    put_hex(to, "trust", buf_view(&trust));
}

static bool take_words(const struct order_file *file, struct root_order *order, struct err *err)
{
    if (file->request != VERSION)
        return err_set(err, ERR_BAD_CONFIG, "request: form %" PRIu64 ", this program reads form %d",
                       file->request, VERSION);
    if (!change_step_find(file->step, &order->step))
        return err_set(err, ERR_BAD_CONFIG, "step: there is no \"%.64s\"", file->step);
    if (!change_what_find(file->what, &order->what))
        return err_set(err, ERR_BAD_CONFIG, "what: there is no \"%.64s\"", file->what);
    order->made_at = file->made_at;
    order->network = mem_text(file->network);
    order->reason = mem_text(or_none(file->reason));
    order->host = mem_text(or_none(file->host));
    return true;
}

static bool take_trust(const struct order_file *file, struct root_order *order, struct err *err)
{
    _buf_ trust = { 0 };

    if (!read_hex("trust", view_text(or_none(file->trust)), MAX_TRUST, &trust, err))
        return false;
    if ((trust.len == 0) != (order->step == CHANGE_FOUND))
        return err_set(err, ERR_BAD_CONFIG, "trust: missing, or there for a new network");
    if (!trust.len)
        return true;
    if (!rpc_trust_load(buf_view(&trust), pki_verify_by_cert, &order->trust, err))
        return err_wrap(err, "trust");
    if (!rpc_trust_is_ready(order->trust) ||
        strcmp(rpc_trust_network(order->trust), order->network) != 0)
        return err_set(err, ERR_BAD_CONFIG, "trust: is not of network %s", order->network);
    return true;
}

/* Everything that the step needs, and nothing else. */
static bool check_parts(const struct root_order *order, struct err *err)
{
    const struct change change = { .step = order->step, .what = order->what };
    bool is_first = order->step == CHANGE_FOUND;
    bool wants_key = is_first || change_needs_key(&change) || order->step == CHANGE_ADD_ROUTER ||
                     order->step == CHANGE_REMOVE_ROUTER;

    if ((order->csr.len > 0) != change_needs_intermediate(&change))
        return err_set(err, ERR_BAD_CONFIG, "csr: missing, or there for nothing");
    if ((order->pk.len > 0) != wants_key)
        return err_set(err, ERR_BAD_CONFIG, "public_key: missing, or there for nothing");
    return (order->login_pk.len > 0) == is_first && (order->sign_pk.len > 0) == is_first
               ? true
               : err_set(err, ERR_BAD_CONFIG, "login_key, sign_key: of a new network alone");
}

bool root_order_read(const char *path, struct view text, struct root_order *ret_order,
                     struct err *err)
{
    _cleanup_(order_file_deinit) struct order_file file = { 0 };
    _cleanup_(root_order_deinit) struct root_order order = { 0 };

    if (!conf_parse(path, text, order_keys, N_ELEMENTS(order_keys), &file, NULL, err))
        return false;
    if (!take_words(&file, &order, err) ||
        !read_key("public_key", or_none(file.public_key), &order.pk, err) ||
        !read_key("login_key", or_none(file.login_key), &order.login_pk, err) ||
        !read_key("sign_key", or_none(file.sign_key), &order.sign_pk, err) ||
        !read_hex("csr", view_text(or_none(file.csr)), PKI_MAX_CSR, &order.csr, err) ||
        !take_trust(&file, &order, err) || !check_parts(&order, err))
        return err_wrap(err, "%s", path);
    order.text = buf_dup(text);
    *ret_order = order;
    order = (struct root_order){ 0 };
    return true;
}

/* ---- answers ------------------------------------------------------------------------------ */

void root_answer_write(const struct root_answer *answer, struct buf *to)
{
    buf_printf(
        to,
        "# What the root answered: warren-den takes it with --response. No secret is in it.\n"
        "response = %d\n",
        VERSION);
    put_hex(to, "request_sha256", VIEW_ARR(answer->order_hash));
    put_hex(to, "manifest", buf_view(&answer->manifest));
    buf_put_text(to, "signatures =");
    for (size_t i = 0; i < answer->n_sigs; i++) {
        buf_put_text(to, " ");
        text_put_hex(to, buf_view(&answer->sigs[i]));
    }
    buf_put_text(to, "\n");
    put_hex(to, "root", buf_view(&answer->root));
    put_hex(to, "intermediate", buf_view(&answer->intermediate));
}

static bool read_sigs(const char *text, struct root_answer *answer, struct err *err)
{
    while (*text) {
        size_t len = strcspn(text, " ");
        if (answer->n_sigs == ROOT_MAX_SIGNERS)
            return err_set(err, ERR_BAD_CONFIG, "signatures: more than %d", ROOT_MAX_SIGNERS);
        if (len &&
            !read_hex("signatures", VIEW(text, len), MAX_SIG, &answer->sigs[answer->n_sigs++], err))
            return false;
        text += len + (text[len] == ' ');
    }
    return true;
}

bool root_answer_read(const char *path, struct view text, struct root_answer *ret_answer,
                      struct err *err)
{
    _cleanup_(answer_file_deinit) struct answer_file file = { 0 };
    _cleanup_(root_answer_deinit) struct root_answer answer = { 0 };

    if (!conf_parse(path, text, answer_keys, N_ELEMENTS(answer_keys), &file, NULL, err))
        return false;
    if (file.response != VERSION)
        return err_set(err, ERR_BAD_CONFIG,
                       "%s: response: form %" PRIu64 ", this program reads form %d", path,
                       file.response, VERSION);
    if (!text_read_hex(view_text(file.request_sha256), answer.order_hash, HASH_SIZE))
        return err_set(err, ERR_BAD_CONFIG, "%s: request_sha256: not 32 bytes in hexadecimal",
                       path);
    if (!read_hex("manifest", view_text(or_none(file.manifest)), RPC_MAX_STATEMENT,
                  &answer.manifest, err) ||
        !read_sigs(or_none(file.signatures), &answer, err) ||
        !read_hex("root", view_text(or_none(file.root)), MAX_DER, &answer.root, err) ||
        !read_hex("intermediate", view_text(or_none(file.intermediate)), MAX_DER,
                  &answer.intermediate, err))
        return err_wrap(err, "%s", path);
    *ret_answer = answer;
    answer = (struct root_answer){ 0 };
    return true;
}
