/* SPDX-License-Identifier: Apache-2.0 */
/* den's audit entries as they are read back: whatever bytes a store holds, what is printed of them is one line of printable ASCII, in
 * which no text ends before its quote. */
#include "den/audit.h"
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_whole(struct view line)
{
    bool is_text = false;
    int depth = 0;

    for (size_t i = 0; i < line.len; i++) {
        char c = (char)line.data[i];
        if (c < 0x20 || c > 0x7e || depth < 0)
            return false;
        if (is_text && c == '\\')
            i++;
        else if (c == '"')
            is_text = !is_text;
        else if (!is_text)
            depth += (c == '{') - (c == '}');
    }
    return !is_text && depth == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store_audit entry = { .no = size, .at = size * 1000 };
    _buf_ line = { 0 };

    memset(entry.head, (int)(size & 0xff), sizeof(entry.head));
    entry.bytes = buf_dup(VIEW(data, size));
    audit_put_json(&entry, &line);
    buf_free(&entry.bytes);
    if (!is_whole(buf_view(&line)))
        abort();
    return 0;
}
