/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket frames as they come, in records: the first byte says whose frames, each record starts with its length. What
 * is taken stays inside the record, and everything is either taken or passed on. */
#include "rpc/ws_reader.h"
#include "tests/fuzz/fuzz.h"

static void read_record(struct rpc_ws_reader *reader, struct view record, bool is_masked)
{
    uint8_t *bytes = mem_dup(record.data, record.len); /* exact: nothing behind it may be touched */
    size_t run = rpc_ws_reader_run(reader, VIEW(bytes, record.len), is_masked), at = 0, before = 0;
    struct view message;

    if (run > record.len)
        abort();
    while (rpc_ws_reader_take(bytes, run, &at, &message)) {
        if (message.data < bytes + before || message.data + message.len != bytes + at)
            abort();
        before = at;
    }
    if (at != run)
        abort();
    rpc_ws_reader_pass(reader, VIEW(bytes + run, record.len - run));
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rpc_ws_reader reader = { 0 };
    struct view rest = VIEW(data, size), record;
    uint8_t whose, len;

    if (!view_take_u8(&rest, &whose))
        return 0;
    while (view_take_u8(&rest, &len) && rest.len) {
        if (!view_take(&rest, 1u + len, &record))
            view_take(&rest, rest.len, &record);
        read_record(&reader, record, whose & 1);
    }
    return 0;
}
