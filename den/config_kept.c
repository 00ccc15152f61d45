/* SPDX-License-Identifier: Apache-2.0 */
#include "den/config_kept.h"

#include "den/record.h"

static const char kept_name[] = "config";

/* Lines of key=value: no value of a configuration has more than one line. */
struct noting {
    struct view before; /* all of it */
    struct buf now;
    struct audit_pair pairs[2 * DEN_N_OPTIONS + 2];
    char *texts[2 * DEN_N_OPTIONS]; /* keys with "_before", and values */
    size_t n, n_texts;
};

static void deinit(struct noting *noting)
{
    for (size_t i = 0; i < noting->n_texts; i++)
        free(noting->texts[i]);
    buf_free(&noting->now);
}

static bool find_before(struct view all, const char *key, struct view *ret_value)
{
    size_t len = strlen(key);

    while (all.len) {
        const uint8_t *end = memchr(all.data, '\n', all.len);
        struct view line = view_sub(all, 0, end ? (size_t)(end - all.data) : all.len);
        if (line.len > len && line.data[len] == '=' && view_eq_text(view_sub(line, 0, len), key)) {
            *ret_value = view_sub(line, len + 1, line.len);
            return true;
        }
        all = view_sub(all, line.len + 1, all.len);
    }
    return false;
}

/* A key that an older den did not know was not changed by anybody. */
static void note_value(void *user, const char *key, const char *value)
{
    struct noting *noting = user;
    struct view before;

    buf_printf(&noting->now, "%s=%s\n", key, value);
    if (!find_before(noting->before, key, &before) || view_eq_text(before, value))
        return;
    char *key_before = noting->texts[noting->n_texts++] = mem_format("%s_before", key);
    char *text = noting->texts[noting->n_texts++] = mem_text(value);
    noting->pairs[noting->n++] = (struct audit_pair){ key_before, before };
    noting->pairs[noting->n++] = (struct audit_pair)AUDIT_TEXT(key, text);
}

bool config_kept_note(struct store *store, const struct den_config *config, const struct deed *deed,
                      struct err *err)
{
    _cleanup_(deinit) struct noting noting = { 0 };
    _transaction_ struct store *open = store;
    const struct audit_pair by[] = { DEED_PAIRS(deed) };
    _buf_ before = { 0 };
    enum store_found found;

    if (!store_begin(open, err) || !store_blob_get(open, kept_name, &found, &before, err))
        return false;
    noting.before = buf_view(&before);
    config_each_value(config, note_value, &noting);
    if (view_eq(noting.before, buf_view(&noting.now)))
        return true;
    if (noting.n) {
        memcpy(noting.pairs + noting.n, by, sizeof(by));
        if (!audit_append(open, deed->at, "config.changed", noting.pairs, noting.n + N_ELEMENTS(by),
                          err))
            return false;
    }
    return store_blob_set(open, kept_name, buf_view(&noting.now), err) && store_commit(open, err);
}
