/* SPDX-License-Identifier: Apache-2.0 */
/* sd_notify(3) without its library: a daemon tells systemd how it is. Nothing happens where nobody
 * asked, which is when $NOTIFY_SOCKET is not set. */
#pragma once

#include <stdint.h>

/* "READY=1\nSTATUS=serving". Never blocks and never fails: nobody could do anything about it. */
void notify_say(const char *text);
/* RELOADING=1 with the time that systemd wants; READY=1 ends it. */
void notify_reloading(void);
/* How often WATCHDOG=1 has to come at least, in ms; 0: never. */
uint64_t notify_watchdog(void);
