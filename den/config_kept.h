/* SPDX-License-Identifier: Apache-2.0 */
/* What den.conf said when den took it last, as the store keeps it: what it says otherwise now stands in the audit. */
#pragma once

#include "den/config.h"
#include "den/deed.h"
#include "den/store.h"

/* In one transaction of its own: each value of `config` that is another one than it was is in an entry "config.changed", and what it is now
 * is kept. Nothing is written when nothing changed; the first time it is kept without an entry. */
bool config_kept_note(struct store *store, const struct den_config *config, const struct deed *deed,
                      struct err *err);
