/* SPDX-License-Identifier: Apache-2.0 */
#include "router/realms.h"

#include <stdio.h>

const char *realm_method_name(enum realm_method method)
{
    static const char *const names[] = { "netsign", "cryptosign", "wampcra", "ticket",
                                         "anonymous" };

    return names[method];
}

static void principal_free(struct principal *principal)
{
    buf_wipe(&principal->ticket);
    buf_wipe(&principal->secret);
    free(principal->salt);
    free(principal);
}

static void realm_config_free(struct realm_config *config)
{
    size_t cursor = 0;
    void *principal;

    while (map_next(config->principals, &cursor, NULL, &principal))
        principal_free(principal);
    map_free(config->principals);
    key_free(config->key);
    free(config);
}

static struct realm_config *add_realm(struct realms *realms, struct view name)
{
    struct realm_config *config = mem_new(struct realm_config);

    snprintf(config->name, sizeof(config->name), "%.*s", VIEW_FMT(name));
    config->principals = map_new();
    realms->item[realms->n++] = config;
    return config;
}

struct realms *realms_new(const char *network)
{
    struct realms *realms = mem_new(struct realms);
    struct realm_config *home = add_realm(realms, view_text(network));

    home->has_method[REALM_NETSIGN] = home->has_method[REALM_ANONYMOUS] = true;
    snprintf(home->anonymous_role, REALM_ROLE, "guest");
    snprintf(home->meta[0], REALM_ROLE, "admin");
    snprintf(home->meta[1], REALM_ROLE, "den");
    home->n_meta = 2;
    return realms;
}

void realms_free(struct realms *realms)
{
    if (!realms)
        return;
    for (size_t i = 0; i < realms->n; i++)
        realm_config_free(realms->item[i]);
    free(realms);
}
