/* SPDX-License-Identifier: Apache-2.0 */
#include "den/web.h"

#include "base/base64.h"
#include "den/core_in.h"

enum { MAX_GET = 1024 };

static const char text_type[] = "text/plain; charset=utf-8", cert_type[] = "application/pkix-cert",
                  crl_type[] = "application/pkix-crl", ocsp_type[] = "application/ocsp-response";

static void put_text(struct web_page *page, unsigned status, const char *text)
{
    page->status = status;
    page->type = text_type;
    buf_put_text(&page->body, text);
}

static void put_der(struct web_page *page, const char *type, struct view der)
{
    page->status = 200;
    page->type = type;
    buf_put(&page->body, der);
}

static void put_list(struct web_page *page, struct view list)
{
    if (list.len)
        put_der(page, crl_type, list);
    else
        put_text(page, 503, "den was restored from a backup and has not met its router yet\n");
}

static void get_crl(struct den_core *core, struct web_page *page)
{
    put_list(page, den_core_crl(core));
}

static void put_not_listed(struct web_page *page)
{
    put_text(page, 404, "no intermediate whose key has these digits is in use or listed\n");
}

static bool is_known(struct den_core *core, struct view digits)
{
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    char in_use[PKI_KEY_DIGITS + 1];

    pki_cert_key_digits(signer_cert(core->c.signer), in_use);
    return view_eq_text(digits, in_use) || crl_find_listed(core, digits, &cert);
}

static void get_crl_of(struct den_core *core, struct view digits, struct web_page *page)
{
    struct view list;

    if (crl_of(core, digits, &list))
        put_list(page, list);
    else if (core->is_behind && is_known(core, digits))
        put_list(page, VIEW(NULL, 0)); /* it is made when that is over */
    else
        put_not_listed(page);
}

static void get_ca(struct den_core *core, struct web_page *page)
{
    put_der(page, cert_type, pki_cert_der(signer_cert(core->c.signer)));
}

static void get_ca_of(struct den_core *core, struct view digits, struct web_page *page)
{
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    char in_use[PKI_KEY_DIGITS + 1];

    pki_cert_key_digits(signer_cert(core->c.signer), in_use);
    if (view_eq_text(digits, in_use))
        get_ca(core, page);
    else if (crl_find_listed(core, digits, &cert))
        put_der(page, cert_type, pki_cert_der(cert));
    else
        put_not_listed(page);
}

static void get_root(struct den_core *core, struct web_page *page)
{
    struct view der;

    if (rpc_trust_root(core->c.trust, 0, &der))
        put_der(page, cert_type, der);
    else
        put_text(page, 404, "there is no root\n");
}

/* For whoever watches den: 503 while it cannot do all that it is for. */
static void get_health(struct den_core *core, struct web_page *page)
{
    den_core_health(core, &page->body);
    page->status = page->body.len ? 503 : 200;
    page->type = text_type;
    if (!page->body.len)
        buf_put_text(&page->body, "ok\n");
}

static const struct {
    const char *path;
    void (*get)(struct den_core *core, struct web_page *page);
} files[] = {
    { "/crl", get_crl },
    { "/ca", get_ca },
    { "/root", get_root },
    { "/health", get_health },
};

static void answer_ocsp(struct den_core *core, struct view request, struct web_page *page)
{
    page->status = 200;
    page->type = ocsp_type;
    den_core_ocsp(core, request, &page->body);
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3986, 2.1. What is malformed stays as it is, and is then no base64. */
static void put_decoded(struct buf *to, struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        int high = text.data[i] == '%' && i + 2 < text.len ? hex_digit(text.data[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(text.data[i + 2]) : -1;
        if (low < 0) {
            buf_put_u8(to, text.data[i]);
            continue;
        }
        buf_put_u8(to, (uint8_t)(high << 4 | low));
        i += 2;
    }
}

/* False: malformed, or about nothing that is known here. */
static bool try_ocsp(struct den_core *core, struct view text, struct buf *to)
{
    _buf_ request = buf_dup(text);
    size_t len = 0;

    buf_clear(to);
    if (!request.len || !base64_read(buf_view(&request), request.data, &len))
        len = 0; /* malformed, as OCSP says it */
    return den_core_ocsp(core, view_sub(buf_view(&request), 0, len), to);
}

/* On the way a plus may have become a space and two slashes one: base64 has both. Where a slash is
 * missing, the one that leads to something known was it. */
static void answer_text(struct den_core *core, struct buf *text, struct buf *to)
{
    for (size_t i = 0; i < text->len; i++)
        if (text->data[i] == ' ')
            text->data[i] = '+';
    if (try_ocsp(core, buf_view(text), to) || text->len % 4 != 3)
        return;
    for (size_t i = 0; i < text->len; i++) {
        _buf_ longer = { 0 };
        if (text->data[i] != '/')
            continue;
        buf_put(&longer, view_sub(buf_view(text), 0, i));
        buf_put_u8(&longer, '/');
        buf_put(&longer, view_sub(buf_view(text), i, text->len));
        if (try_ocsp(core, buf_view(&longer), to))
            return;
    }
}

/* RFC 6960, A.1: the request in base64, percent-encoded, behind the responder's URL. It recommends
 * GET below 255 bytes. */
static void get_ocsp(struct den_core *core, struct view encoded, struct web_page *page)
{
    _buf_ text = { 0 };

    if (encoded.len <= MAX_GET)
        put_decoded(&text, encoded);
    page->status = 200;
    page->type = ocsp_type;
    answer_text(core, &text, &page->body);
}

/* What stands behind the slash says of what. */
static const struct {
    const char *start;
    void (*get)(struct den_core *core, struct view rest, struct web_page *page);
} folders[] = {
    { "/crl/", get_crl_of },
    { "/ca/", get_ca_of },
    { "/ocsp/", get_ocsp },
};

static void get(struct den_core *core, struct view path, struct web_page *page)
{
    for (size_t i = 0; i < N_ELEMENTS(files); i++)
        if (view_eq_text(path, files[i].path)) {
            files[i].get(core, page);
            return;
        }
    for (size_t i = 0; i < N_ELEMENTS(folders); i++) {
        struct view start = view_text(folders[i].start);
        if (view_starts(path, start)) {
            folders[i].get(core, view_sub(path, start.len, path.len), page);
            return;
        }
    }
    if (view_eq_text(path, "/ocsp"))
        put_text(page, 405, "OCSP: POST the request, or GET /ocsp/ and the request in base64\n");
    else
        put_text(page, 404, "there are /crl, /ca, /root, /ocsp and /health\n");
}

/* Each answer is signed, or looked for: a network has its share of that. */
static bool may_ask_ocsp(struct den_core *core, struct view path, struct view source)
{
    uint8_t key[RATE_KEY];

    return !view_starts(path, VIEW_LIT("/ocsp")) ||
           core_take(core, RATE_OCSP, rate_source(source, key));
}

void web_serve(struct den_core *core, bool is_post, struct view path, struct view body,
               struct view source, struct web_page *page)
{
    if (!may_ask_ocsp(core, path, source))
        put_text(page, 429, "OCSP: too many questions from this network; wait some seconds\n");
    else if (!is_post)
        get(core, path, page);
    else if (view_eq_text(path, "/ocsp") || view_eq_text(path, "/ocsp/"))
        answer_ocsp(core, body, page);
    else
        put_text(page, 405, "only /ocsp takes a POST\n");
}
