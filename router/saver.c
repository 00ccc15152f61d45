/* SPDX-License-Identifier: Apache-2.0 */
#include "router/saver.h"

#include "router/state.h"

struct saver {
    struct rpc_loop *loop;
    const char *dir;
    void (*on_failed)(void *user, const struct err *why);
    void *user;
    struct buf next; /* empty: none */
    bool is_writing;
    struct buf writing; /* with its outcome the other thread's while it writes */
    bool is_written;
    struct err err;
};

struct saver *saver_new(struct rpc_loop *loop, const char *dir,
                        void (*on_failed)(void *user, const struct err *why), void *user)
{
    struct saver *saver = mem_new(struct saver);

    saver->loop = loop;
    saver->dir = dir;
    saver->on_failed = on_failed;
    saver->user = user;
    return saver;
}

static void write_it(void *user)
{
    struct saver *saver = user;

    saver->err = (struct err){ 0 };
    saver->is_written = state_save_trust(saver->dir, buf_view(&saver->writing), &saver->err);
}

static void start(struct saver *saver);

static void on_written(void *user)
{
    struct saver *saver = user;

    saver->is_writing = false;
    if (!saver->is_written)
        saver->on_failed(saver->user, &saver->err);
    start(saver);
}

static void start(struct saver *saver)
{
    if (saver->is_writing || !saver->next.len)
        return;
    buf_free(&saver->writing);
    saver->writing = saver->next;
    saver->next = (struct buf){ 0 };
    saver->is_writing = true;
    rpc_loop_work(saver->loop, write_it, on_written, saver);
}

void saver_take(struct saver *saver, struct view bytes)
{
    buf_clear(&saver->next);
    buf_put(&saver->next, bytes);
    start(saver);
}

void saver_free(struct saver *saver)
{
    if (!saver)
        return;
    rpc_loop_finish_works(saver->loop);
    buf_free(&saver->next);
    buf_free(&saver->writing);
    free(saver);
}
