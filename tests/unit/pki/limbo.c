/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pki/limbo.h"

#include "base/clock.h"
#include "base/file.h"
#include "rpc/json.h"
#include "rpc/rpc.h"

#include <stdio.h>
#include <time.h>

enum { MAX_FILE = 64 * 1024 * 1024, MAX_CERTS = 64 };

struct ders {
    struct buf der[MAX_CERTS];
    struct view view[MAX_CERTS];
    size_t n;
};

static void ders_deinit(struct ders *d)
{
    for (size_t i = 0; i < MAX_CERTS; i++)
        buf_free(&d->der[i]);
}

static bool add_pem(struct ders *to, struct view pem, const char *label)
{
    struct err err;
    size_t n = 0;

    if (to->n == MAX_CERTS || !pki_pem_read_all(pem, label, &to->der[to->n], 1, &n, &err) || n != 1)
        return false;
    to->view[to->n] = buf_view(&to->der[to->n]);
    to->n++;
    return true;
}

static bool add_all(struct ders *to, struct view test, const char *key, const char *label)
{
    struct rpc_fields list;
    struct view array, pem;

    if (!rpc_map_get(test, key, &array))
        return true;
    rpc_fields_open(&list, array);
    while (rpc_fields_more(&list))
        if (!rpc_value_text(rpc_fields_value(&list, key), &pem) || !add_pem(to, pem, label))
            return false;
    return true;
}

/* "2024-01-01T00:00:00+00:00" */
static uint64_t time_of(struct view test)
{
    _free_ char *text = NULL;
    struct tm tm = { 0 };
    struct view value;

    if (!rpc_map_text(test, "validation_time", &value))
        return clock_wall_ms();
    text = view_dup_text(value);
    return strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? (uint64_t)timegm(&tm) * 1000 : 0;
}

static bool judge(struct view test, enum pki_role role, struct err *err)
{
    _cleanup_(ders_deinit) struct ders chain = { 0 }, anchors = { 0 }, crls = { 0 };
    _free_ char *name = NULL;
    struct view pem, peer, value;
    uint64_t depth;

    if (!rpc_map_text(test, "peer_certificate", &pem) || !add_pem(&chain, pem, "CERTIFICATE") ||
        !add_all(&chain, test, "untrusted_intermediates", "CERTIFICATE") ||
        !add_all(&anchors, test, "trusted_certs", "CERTIFICATE") ||
        !add_all(&crls, test, "crls", "X509 CRL"))
        return err_set(err, ERR_BAD_WIRE, "not readable PEM");
    if (rpc_map_get(test, "expected_peer_name", &peer) && rpc_map_text(peer, "value", &value))
        name = view_dup_text(value);
    const struct pki_general question = {
        .chain = chain.view,
        .n_chain = chain.n,
        .anchors = anchors.view,
        .n_anchors = anchors.n,
        .crls = crls.view,
        .n_crls = crls.n,
        .name = name,
        .role = role,
        .now = time_of(test),
        .max_intermediates = rpc_map_u64(test, "max_chain_depth", &depth) ? (int)depth : -1,
    };
    return pki_judge_general(&question, err);
}

static void try_one(struct view test, limbo_tell *tell, struct limbo_totals *totals)
{
    struct view id = { 0 }, kind = { 0 }, expected = { 0 };
    struct err err = { 0 };
    struct limbo_totals *of;
    bool is_good, is_taken;

    rpc_map_text(test, "id", &id);
    rpc_map_text(test, "validation_kind", &kind);
    rpc_map_text(test, "expected_result", &expected);
    of = &totals[view_eq_text(kind, "CLIENT") ? PKI_CLIENT : PKI_SERVER];
    is_good = view_eq_text(expected, "SUCCESS");
    is_taken = judge(test, view_eq_text(kind, "CLIENT") ? PKI_CLIENT : PKI_SERVER, &err);
    of->n_good += is_good;
    of->n_bad += !is_good;
    of->n_good_taken += is_good && is_taken;
    of->n_bad_taken += !is_good && is_taken;
    tell(id, is_good, is_taken ? NULL : err.text);
}

bool limbo_run(const char *path, limbo_tell *tell, struct limbo_totals totals[2], struct err *err)
{
    _buf_ text = { 0 }, value = { 0 };
    struct rpc_fields list;
    struct view tests;

    if (!file_read(path, MAX_FILE, &text, err) ||
        !rpc_json_to_msgpack(buf_view(&text), MAX_FILE, &value, err))
        return err_wrap(err, "%s", path);
    if (!rpc_map_get(buf_view(&value), "testcases", &tests))
        return err_set(err, ERR_BAD_WIRE, "%s: no testcases", path);
    rpc_fields_open(&list, tests);
    while (rpc_fields_more(&list))
        try_one(rpc_fields_value(&list, "test"), tell, totals);
    return rpc_fields_end(&list, err);
}
