/* SPDX-License-Identifier: Apache-2.0 */
/* Who may call, register, publish and subscribe to what: one table of roles and names, and the
 * owner namespaces. What no row allows is refused. No I/O. */
#pragma once

#include "router/grants.h"

/* ROLE_SCRIPT: a stock client that the operator wrote down, with what the realm opens and no ID.
 * ROLE_APPLICATION: of a realm of another application, whose roles are text. */
enum role { ROLE_GUEST, ROLE_PEER, ROLE_ADMIN, ROLE_SCRIPT, ROLE_DEN, ROLE_APPLICATION };
bool role_read(struct view text, enum role *ret_role); /* guest, peer, admin or script */
const char *role_name(enum role role);                 /* "peer" */

enum policy_verb { POLICY_CALL, POLICY_REGISTER, POLICY_PUBLISH, POLICY_SUBSCRIBE };
enum policy_verdict { POLICY_ALLOWED, POLICY_FORBIDDEN, POLICY_NO_GRANT, POLICY_NO_CAPABILITY };

struct policy_ask {
    enum policy_verb verb;
    enum role role;
    struct view id; /* proved; "den" for den */
    struct view uri;
    bool is_standard; /* the realm's profile */
    bool is_open;     /* the realm gives this name to all peers */
    bool may_meta;    /* the realm lets this role use the meta API */
    const struct grants *grants;
    uint64_t now; /* network time */
    bool is_tree; /* asks for `uri` and everything below it at once */
};
enum policy_verdict policy_decide(const struct policy_ask *ask);
/* The verdict as an error; false, to fail in one line. */
bool policy_refuse(enum policy_verdict verdict, const struct policy_ask *ask, struct err *err);
