/* SPDX-License-Identifier: Apache-2.0 */
#include "den/deed.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct deed deed_of_uid(unsigned long uid, uint64_t now)
{
    struct deed deed = { .source = "local", .at = now };

    snprintf(deed.by, sizeof(deed.by), "uid %lu", uid);
    return deed;
}

struct deed deed_here(uint64_t now)
{
    return deed_of_uid(getuid(), now);
}

struct deed deed_of_id(const char *id, struct view source, uint64_t now)
{
    struct deed deed = { .at = now };

    snprintf(deed.by, sizeof(deed.by), "%s", id);
    snprintf(deed.source, sizeof(deed.source), "%.*s", VIEW_FMT(view_sub(source, 0, 63)));
    return deed;
}

struct deed deed_of_file(const char *path, uint64_t now)
{
    struct deed deed = { .by = "file", .at = now };
    size_t len = strlen(path), most = sizeof(deed.source) - 1;

    if (len <= most)
        memcpy(deed.source, path, len + 1);
    else
        snprintf(deed.source, sizeof(deed.source), "...%s", path + len - most + 3);
    return deed;
}
