/* SPDX-License-Identifier: Apache-2.0 */
/* A new identity key that an earlier `warren rekey` began, and that den takes while something else is under way: the library begins anew
 * with it, and so does the verb, unless that would do a thing twice. */
#include "cli.h"

static bool is_rekeyed, is_only_once, has_said_why;

bool cli_next_event(struct peer *peer, struct peer_event *ret_event)
{
    static const struct peer_error replaced = {
        "busy",
        "this machine's identity key was replaced while this was under way: it may have been done, "
        "or "
        "not",
        "see whether it was done, and try again",
    };

    if (!peer_next_event(peer, ret_event))
        return false;
    if (ret_event->type != PEER_EVENT_REKEYED || ret_event->remote_id)
        return true;
    if (ret_event->error.name[0] != '\0') {
        if (!has_said_why)
            cli_say(
                "the new identity key that `warren rekey` began is not taken yet: %s: %s; it is "
                "tried again",
                ret_event->error.name, ret_event->error.text);
        has_said_why = true;
        return true;
    }
    cli_say("the new identity key that `warren rekey` began is this machine's key now");
    is_rekeyed = true;
    ret_event->type = PEER_EVENT_FAILED;
    ret_event->error = replaced;
    return true;
}

void cli_only_once(void)
{
    is_only_once = true;
}

bool cli_goes_on(void)
{
    return is_rekeyed && !is_only_once;
}

bool cli_take_anew(void)
{
    bool is_anew = cli_goes_on() && !cli_stopped();

    is_rekeyed = false;
    is_only_once |= is_anew; /* a second time is none of `warren rekey` */
    return is_anew;
}
