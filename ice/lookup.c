/* SPDX-License-Identifier: Apache-2.0 */
/* The address of a server's name. */
#include "ice/ice.h"

#include "base/mem.h"

#include <gio/gio.h>
#include <stdio.h>

struct ice_lookup {
    ice_on_address *on_address; /* NULL: */
    ice_on_addresses *on_addresses;
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

static void tell_one(const struct ice_lookup *lookup, const GList *all)
{
    const GList *one = pick(all);
    gchar *text = one ? g_inet_address_to_string(one->data) : NULL;

    lookup->on_address(lookup->user, text);
    g_free(text);
}

static void tell_all(const struct ice_lookup *lookup, const GList *all)
{
    const char *addresses[ICE_LOOKUP_MOST];
    gchar *texts[ICE_LOOKUP_MOST];
    size_t n = 0;

    for (const GList *at = all; at && n < ICE_LOOKUP_MOST; at = at->next)
        addresses[n] = texts[n] = g_inet_address_to_string(at->data), n++;
    lookup->on_addresses(lookup->user, addresses, n);
    while (n)
        g_free(texts[--n]);
}

static void on_resolved(GObject *resolver, GAsyncResult *result, gpointer user)
{
    struct ice_lookup *lookup = user;
    GList *all = g_resolver_lookup_by_name_finish(G_RESOLVER(resolver), result, NULL);

    if (!g_cancellable_is_cancelled(lookup->cancellable)) {
        if (lookup->on_address)
            tell_one(lookup, all);
        else
            tell_all(lookup, all);
    }
    g_resolver_free_addresses(all);
    g_object_unref(lookup->cancellable);
    free(lookup);
}

static struct ice_lookup *begin(void *context, const char *host, const struct ice_lookup *from)
{
    struct ice_lookup *lookup = mem_dup(from, sizeof(*from));
    GResolver *resolver = g_resolver_get_default();

    lookup->cancellable = g_cancellable_new();
    g_main_context_push_thread_default(context);
    g_resolver_lookup_by_name_async(resolver, host, lookup->cancellable, on_resolved, lookup);
    g_main_context_pop_thread_default(context);
    g_object_unref(resolver);
    return lookup;
}

struct ice_lookup *ice_lookup_new(void *context, const char *host, ice_on_address *on_address,
                                  void *user)
{
    return begin(context, host, &(struct ice_lookup){ .on_address = on_address, .user = user });
}

struct ice_lookup *ice_lookup_all_new(void *context, const char *host,
                                      ice_on_addresses *on_addresses, void *user)
{
    return begin(context, host, &(struct ice_lookup){ .on_addresses = on_addresses, .user = user });
}

void ice_lookup_cancel(struct ice_lookup *lookup)
{
    if (lookup)
        g_cancellable_cancel(lookup->cancellable);
}
