/* SPDX-License-Identifier: Apache-2.0 */
/* The statement reader, for every word. What it takes has one form: writing it gives the same
 * bytes. */
#include "rpc/statement_words.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned n_read = 0;

    for (enum rpc_word word = 0; word < RPC_N_WORDS; word++) {
        union rpc_any_statement any;
        _buf_ again = { 0 };
        struct err err;
        if (!rpc_statement_read(word, VIEW(data, size), &any, &err))
            continue;
        rpc_statement_write(word, &any, &again);
        if (!view_eq(buf_view(&again), VIEW(data, size)))
            abort();
        n_read++;
    }
    if (n_read > 1) /* no statement is two words */
        abort();
    return 0;
}
