/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the trust set in another thread: a heartbeat comes every half minute, and nobody's call waits for
 * the disk. The newest wins. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "rpc/rpc.h"

struct saver;

/* `on_failed` says why one was not written: the next one is tried all the same. `dir` is borrowed. */
struct saver *saver_new(struct rpc_loop *loop, const char *dir,
                        void (*on_failed)(void *user, const struct err *why), void *user);
void saver_take(struct saver *saver, struct view bytes); /* copied */
void saver_free(struct saver *saver);                    /* after what it was given is written */
