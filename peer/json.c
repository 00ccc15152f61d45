/* SPDX-License-Identifier: Apache-2.0 */
/* Values as JSON, for applications without a msgpack library. */
#include "peer/errand.h"

/* JSON of a value may be six times as long. */
enum { MAX_JSON = 8 * 1024 * 1024 };

static void *fail(struct err *err, struct peer_error *ret_error)
{
    if (err->code == ERR_BAD_WIRE)
        err->code = ERR_INVALID_ARGUMENT;
    errand_put_error(err, ret_error);
    return NULL;
}

void *peer_msgpack_from_json(const char *json, size_t size, size_t *ret_size,
                             struct peer_error *ret_error)
{
    struct buf to = { 0 };
    struct err err = { 0 };

    if (!rpc_json_to_msgpack(VIEW(json, size), PEER_MAX_VALUES, &to, &err)) {
        buf_free(&to);
        return fail(&err, ret_error);
    }
    *ret_size = to.len;
    return to.data;
}

char *peer_json_from_msgpack(const void *bytes, size_t size, struct peer_error *ret_error)
{
    struct buf to = { 0 };
    struct err err = { 0 };

    if (!rpc_json_from_msgpack(VIEW(bytes, size), MAX_JSON, &to, &err)) {
        buf_free(&to);
        return fail(&err, ret_error);
    }
    buf_cstr(&to);
    return (char *)to.data;
}
