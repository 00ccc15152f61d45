/* SPDX-License-Identifier: Apache-2.0 */
/* Turning a GLib loop in a test: until something is so, or patience ends. */
#pragma once

#include <glib.h>
#include <stdbool.h>

static inline gboolean turn_ring(gpointer user)
{
    *(bool *)user = true;
    return G_SOURCE_REMOVE;
}

#define TURN_UNTIL(context, patience_ms, condition)                                                \
    ({                                                                                             \
        bool late_ = false;                                                                        \
        GSource *alarm_ = g_timeout_source_new(patience_ms);                                       \
        g_source_set_callback(alarm_, turn_ring, &late_, NULL);                                    \
        g_source_attach(alarm_, (context));                                                        \
        while (!(condition) && !late_)                                                             \
            g_main_context_iteration((context), TRUE);                                             \
        g_source_destroy(alarm_);                                                                  \
        g_source_unref(alarm_);                                                                    \
        (condition);                                                                               \
    })
