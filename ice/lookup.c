/* SPDX-License-Identifier: Apache-2.0 */
/* The address of a server's name. */
#include "ice/ice.h"

#include "base/mem.h"

#include <gio/gio.h>
#include <stdio.h>

struct ice_lookup {
    ice_on_address *on_address;
    void *user;
    GCancellable *cancellable;
};

/* IPv4 first: what asks a server for its own address does so because of a NAT. */
static const GList *pick(const GList *all)
{
    for (const GList *at = all; at; at = at->next)
        if (g_inet_address_get_family(at->data) == G_SOCKET_FAMILY_IPV4)
            return at;
    return all;
}

static void on_resolved(GObject *resolver, GAsyncResult *result, gpointer user)
{
    struct ice_lookup *lookup = user;
    GList *all = g_resolver_lookup_by_name_finish(G_RESOLVER(resolver), result, NULL);
    const GList *one = pick(all);
    gchar *text = one ? g_inet_address_to_string(one->data) : NULL;

    if (!g_cancellable_is_cancelled(lookup->cancellable))
        lookup->on_address(lookup->user, text);
    g_free(text);
    g_resolver_free_addresses(all);
    g_object_unref(lookup->cancellable);
    free(lookup);
}

struct ice_lookup *ice_lookup_new(void *context, const char *host, ice_on_address *on_address,
                                  void *user)
{
    struct ice_lookup *lookup = mem_new(struct ice_lookup);
    GResolver *resolver = g_resolver_get_default();

    lookup->on_address = on_address;
    lookup->user = user;
    lookup->cancellable = g_cancellable_new();
    g_main_context_push_thread_default(context);
    g_resolver_lookup_by_name_async(resolver, host, lookup->cancellable, on_resolved, lookup);
    g_main_context_pop_thread_default(context);
    g_object_unref(resolver);
    return lookup;
}

void ice_lookup_cancel(struct ice_lookup *lookup)
{
    if (lookup)
        g_cancellable_cancel(lookup->cancellable);
}
