/* SPDX-License-Identifier: Apache-2.0 */
/* GLib's sources as this folder uses them. Of the folder's own. */
#pragma once

#include <glib.h>

/* It is not called any more; *source is NULL afterwards. */
static inline void source_drop(GSource **source)
{
    if (!*source)
        return;
    g_source_destroy(*source);
    g_source_unref(*source);
    *source = NULL;
}
