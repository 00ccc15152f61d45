/* SPDX-License-Identifier: Apache-2.0 */
#include "den/token_key.h"

#include <inttypes.h>

/* A name without a number would be the last one's again. */
static bool name(const struct token_key_order *order, struct token_uri *uri, struct err *err)
{
    if (uri->id.len)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "the URI says where keys are made: it has no id, which is drawn for each");
    if (uri->object && order->no > 1) {
        _free_ char *base = STEAL(uri->object);
        uri->object = mem_format("%s %" PRIu64, base, order->no);
    }
    if (!uri->object)
        uri->object = mem_format("%s intermediate %" PRIu64, order->network, order->no);
    return true;
}

bool token_key_order(const struct token_key_order *order, struct pki_key **ret_key,
                     struct buf *ret_file, bool *ret_is_new, struct err *err)
{
    _cleanup_(token_uri_deinit) struct token_uri uri = { 0 };
    _cleanup_(token_place_deinit) struct token_place place = { .paths = mem_text(order->paths) };

    if (!token_uri_read(view_text(order->uri), &uri, err) || !name(order, &uri, err) ||
        !token_key_make(&uri, &order->login, PKI_P256, &place.uri, ret_key, ret_is_new, err))
        return err_wrap(err, "the intermediate's key");
    token_file_write(&place, ret_file);
    return true;
}
