/* SPDX-License-Identifier: Apache-2.0 */
/* den's audit entries as they are read back: whatever bytes a store holds, the line that is printed of them is one of JSON. */
#include "den/audit.h"
#include "rpc/json.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store_audit entry = { .no = size, .at = size * 1000 };
    struct err err = { 0 };
    _buf_ line = { 0 };
    _buf_ packed = { 0 };

    memset(entry.head, (int)(size & 0xff), sizeof(entry.head));
    entry.bytes = buf_dup(VIEW(data, size));
    audit_put_json(&entry, &line);
    buf_free(&entry.bytes);
    if (memchr(line.data, '\n', line.len) ||
        !rpc_json_to_msgpack(buf_view(&line), SIZE_MAX, &packed, &err))
        abort();
    return 0;
}
