/* SPDX-License-Identifier: Apache-2.0 */
/* Links, as the application sees them. */
#include "peer/errand.h"

#include <stdio.h>

static bool check_dialled(struct peer *peer, const char *id, const char *const *caps,
                          char ret_id[RPC_MAX_NAME + 1], struct err *err)
{
    struct peer_identity own;

    if (!id || (!text_read_id(id, ret_id) && !rpc_name_is_valid(view_text(id))))
        return err_set(err, ERR_INVALID_ARGUMENT, "neither an ID of 6 to 9 digits nor a name");
    if (!text_read_id(id, ret_id))
        snprintf(ret_id, RPC_MAX_NAME + 1, "%s", id);
    if (!caps || !caps[0])
        return err_set(err, ERR_INVALID_ARGUMENT, "at least one capability must be asked for");
    if (!errand_check_caps(caps, err))
        return false;
    if (!peer_identity(peer, &own))
        return err_set(err, ERR_NOT_JOINED, "this machine has no ID yet: wait for JOINED");
    if (strcmp(own.id, ret_id) == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "that is this machine's own ID");
    return true;
}

struct peer_link *peer_dial(struct peer *peer, const char *id, const char *const *capabilities,
                            struct peer_error *ret_error)
{
    char digits[RPC_MAX_NAME + 1];
    struct err err = { 0 };

    if (!check_dialled(peer, id, capabilities, digits, &err)) {
        errand_put_error(&err, ret_error);
        return NULL;
    }

    struct peer_link *link = peer_link_new(peer, &peer->hub);
    struct errand *errand = errand_new(peer, link, NULL);
    list_append(&peer->links, &link->node);
    errand->text = mem_text(digits);
    errand_copy_caps(errand, capabilities);
    errand_send(errand, errand_dial);
    return link;
}

bool peer_link_accept(struct peer_link *link, const char *const *capabilities,
                      struct peer_error *ret_error)
{
    struct errand *errand;
    struct err err = { 0 };

    if (!link->awaits_answer)
        err_set(&err, ERR_INVALID_ARGUMENT, "this call does not wait for an answer");
    if (err.code != ERR_NONE || !errand_check_caps(capabilities, &err)) {
        errand_put_error(&err, ret_error);
        return false;
    }
    link->awaits_answer = false;
    errand = errand_new(link->peer, link, NULL);
    errand->has_caps = capabilities != NULL;
    errand_copy_caps(errand, capabilities);
    errand_send(errand, errand_accept);
    return true;
}

void peer_link_decline(struct peer_link *link, const char *reason)
{
    struct errand *errand = errand_new(link->peer, link, NULL);

    link->awaits_answer = false;
    errand->text = mem_text(reason ? reason : "");
    errand_send(errand, errand_decline);
}

void peer_link_close(struct peer_link *link, const char *reason)
{
    struct errand *errand = errand_new(link->peer, link, NULL);

    errand->text = mem_text(reason ? reason : "");
    errand_send(errand, errand_close);
}

bool peer_link_facts(const struct peer_link *link, struct peer_link_facts *ret_facts)
{
    hub_lock(link->hub);
    bool has_facts = link->has_facts;
    if (has_facts)
        *ret_facts = link->facts;
    hub_unlock(link->hub);
    return has_facts;
}

void peer_link_set_user(struct peer_link *link, void *user)
{
    link->user = user;
}

void *peer_link_user(const struct peer_link *link)
{
    return link->user;
}
