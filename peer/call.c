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
    return peer_dial_with(peer, id, capabilities, NULL, ret_error);
}

static bool take_dial_options(const struct peer_dial_options *options,
                              struct peer_dial_options *ret, struct err *err)
{
    if (options && options->size < sizeof(options->size))
        return err_set(err, ERR_INVALID_ARGUMENT, "options.size must be sizeof(*options)");
    if (options)
        memcpy(ret, options, options->size < sizeof(*ret) ? options->size : sizeof(*ret));
    return errand_check_path(ret->path, err);
}

struct peer_link *peer_dial_with(struct peer *peer, const char *id, const char *const *capabilities,
                                 const struct peer_dial_options *options,
                                 struct peer_error *ret_error)
{
    struct peer_dial_options given = { 0 };
    char digits[RPC_MAX_NAME + 1];
    struct err err = { 0 };

    if (!hub_is_ours(&peer->hub, &err) || !take_dial_options(options, &given, &err) ||
        !check_dialled(peer, id, capabilities, digits, &err)) {
        errand_put_error(&err, ret_error);
        return NULL;
    }

    struct peer_link *link = peer_link_new(peer, &peer->hub);
    struct errand *errand = errand_new(peer, link, NULL);
    list_append(&peer->links, &link->node);
    errand->text = mem_text(digits);
    errand->policy = given.path;
    errand_copy_caps(errand, capabilities);
    errand_send(errand, errand_dial);
    return link;
}

bool peer_link_accept(struct peer_link *link, const char *const *capabilities,
                      struct peer_error *ret_error)
{
    return peer_link_accept_with(link, capabilities, NULL, ret_error);
}

static bool take_accept_options(const struct peer_accept_options *options,
                                struct peer_accept_options *ret, struct err *err)
{
    if (options && options->size < sizeof(options->size))
        return err_set(err, ERR_INVALID_ARGUMENT, "options.size must be sizeof(*options)");
    if (options)
        memcpy(ret, options, options->size < sizeof(*ret) ? options->size : sizeof(*ret));
    return ret->duration_ms <= PEER_MAX_DURATION_MS ||
           err_set(err, ERR_INVALID_ARGUMENT, "duration_ms: over 400 days");
}

bool peer_link_accept_with(struct peer_link *link, const char *const *capabilities,
                           const struct peer_accept_options *options, struct peer_error *ret_error)
{
    struct peer_accept_options given = { 0 };
    struct errand *errand;
    struct err err = { 0 };

    if (!link->awaits_answer)
        err_set(&err, ERR_INVALID_ARGUMENT, "this call does not wait for an answer");
    else if (hub_is_ours(link->hub, &err))
        take_accept_options(options, &given, &err);
    if (err.code != ERR_NONE || !errand_check_caps(capabilities, &err)) {
        errand_put_error(&err, ret_error);
        return false;
    }
    link->awaits_answer = false;
    errand = errand_new(link->peer, link, NULL);
    errand->has_caps = capabilities != NULL;
    errand->duration_ms = given.duration_ms;
    errand_copy_caps(errand, capabilities);
    errand_send(errand, errand_accept);
    return true;
}

/* Whole characters, and no more of them than den hands on. */
static char *trim_reason(const char *reason)
{
    size_t len = reason ? strlen(reason) : 0, at = 0, n;

    while (at < len && (n = text_utf8_sequence((const uint8_t *)reason + at, len - at)) > 0 &&
           at + n <= PEER_MAX_REASON)
        at += n;
    return view_dup_text(VIEW(reason, at));
}

void peer_link_decline(struct peer_link *link, const char *reason)
{
    struct errand *errand = errand_new(link->peer, link, NULL);

    link->awaits_answer = false;
    errand->text = trim_reason(reason);
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
