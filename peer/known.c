/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/known.h"

#include "base/clock.h"
#include "base/text.h"

struct line {
    struct view id, time;
    uint8_t pk[KEY_SIZE];
};

static struct view next_word(struct view *rest)
{
    size_t start = 0, end;

    while (start < rest->len && rest->data[start] == ' ')
        start++;
    for (end = start; end < rest->len && rest->data[end] != ' ';)
        end++;
    struct view word = view_sub(*rest, start, end - start);
    *rest = view_sub(*rest, end, rest->len - end);
    return word;
}

static bool line_read(struct view text, struct line *ret_line)
{
    struct view rest = text, pk, more;

    ret_line->id = next_word(&rest);
    pk = next_word(&rest);
    ret_line->time = next_word(&rest);
    more = next_word(&rest);
    return text_is_id(ret_line->id) && text_read_hex(pk, ret_line->pk, KEY_SIZE) &&
           ret_line->time.len && more.len == 0;
}

static struct view next_line(struct view *rest)
{
    const uint8_t *end = rest->len ? memchr(rest->data, '\n', rest->len) : NULL;
    size_t len = end ? (size_t)(end - rest->data) : rest->len;
    struct view line = view_sub(*rest, 0, len);

    *rest = view_sub(*rest, len + (end ? 1 : 0), rest->len);
    return line;
}

bool known_find(struct view text, const char *id, const uint8_t pk[KEY_SIZE], enum known *ret_known,
                size_t *ret_line, struct err *err)
{
    struct view rest = text;

    *ret_known = KNOWN_NEW;
    for (size_t n = 1; rest.len; n++) {
        struct view text_line = next_line(&rest);
        struct line line;

        if (text_line.len == 0 || text_line.data[0] == '#')
            continue;
        if (!line_read(text_line, &line))
            return err_set(err, ERR_BAD_CONFIG,
                           "line %zu: expected an ID, its key as 64 hexadecimal digits, and a time",
                           n);
        if (*ret_known != KNOWN_NEW || !view_eq_text(line.id, id))
            continue;
        *ret_known = view_eq(VIEW_ARR(line.pk), VIEW(pk, KEY_SIZE)) ? KNOWN_SAME : KNOWN_CHANGED;
        *ret_line = n;
    }
    return true;
}

void known_put(struct buf *text, const char *id, const uint8_t pk[KEY_SIZE], uint64_t now)
{
    char time[CLOCK_TEXT];

    if (text->len && text->data[text->len - 1] != '\n')
        buf_put_u8(text, '\n');
    buf_printf(text, "%s ", id);
    text_put_hex(text, VIEW(pk, KEY_SIZE));
    buf_printf(text, " %s\n", clock_text(now, time));
}

static bool look_up(const struct state *state, const char *id, const uint8_t pk[KEY_SIZE],
                    struct buf *ret_text, enum known *ret_known, struct err *err)
{
    const char *path = state_path(state, STATE_KNOWN);
    char shown[TEXT_ID];
    size_t line = 0;
    bool exists;

    if (!state_read_if(state, STATE_KNOWN, ret_text, &exists, err))
        return false;
    if (!known_find(buf_view(ret_text), id, pk, ret_known, &line, err))
        return err_wrap(err, "%s", path);
    if (*ret_known == KNOWN_CHANGED)
        return err_set(err, ERR_IDENTITY_CHANGED,
                       "%s came with another identity key than the one in %s, line %zu",
                       text_id(id, shown), path, line);
    return true;
}

bool known_load(const struct state *state, struct err *err)
{
    static const uint8_t nobody[KEY_SIZE];
    _buf_ text = { 0 };
    enum known known;

    return look_up(state, "", nobody, &text, &known, err);
}

bool known_check(const struct state *state, const char *id, const uint8_t pk[KEY_SIZE],
                 struct err *err)
{
    _buf_ text = { 0 };
    enum known known;

    return look_up(state, id, pk, &text, &known, err);
}

bool known_remember(const struct state *state, const char *id, const uint8_t pk[KEY_SIZE],
                    uint64_t now, struct err *err)
{
    _buf_ text = { 0 };
    enum known known;

    if (!look_up(state, id, pk, &text, &known, err))
        return false;
    if (known == KNOWN_SAME)
        return true;
    known_put(&text, id, pk, now);
    return state_write(state, STATE_KNOWN, buf_view(&text), err);
}

void known_key_in(struct view text, const char *id, uint8_t ret_pk[KEY_SIZE], bool *ret_is_known)
{
    *ret_is_known = false;
    while (text.len && !*ret_is_known) {
        struct view text_line = next_line(&text);
        struct line line;
        if (text_line.len == 0 || text_line.data[0] == '#' || !line_read(text_line, &line) ||
            !view_eq_text(line.id, id))
            continue;
        memcpy(ret_pk, line.pk, KEY_SIZE);
        *ret_is_known = true;
    }
}

bool known_key(const struct state *state, const char *id, uint8_t ret_pk[KEY_SIZE],
               bool *ret_is_known)
{
    _buf_ text = { 0 };
    struct err ignored;
    bool exists;

    *ret_is_known = false;
    if (!state_read_if(state, STATE_KNOWN, &text, &exists, &ignored))
        return false;
    known_key_in(buf_view(&text), id, ret_pk, ret_is_known);
    return true;
}

bool known_replace(const struct state *state, const char *id, const uint8_t pk[KEY_SIZE],
                   uint64_t now, struct err *err)
{
    _buf_ text = { 0 }, next = { 0 };
    struct view rest;
    bool exists;

    if (!state_read_if(state, STATE_KNOWN, &text, &exists, err))
        return false;
    for (rest = buf_view(&text); rest.len;) {
        struct view text_line = next_line(&rest);
        struct line line;
        if (text_line.len && text_line.data[0] != '#' && line_read(text_line, &line) &&
            view_eq_text(line.id, id))
            buf_put_text(&next, "# before: ");
        buf_put(&next, text_line);
        buf_put_u8(&next, '\n');
    }
    known_put(&next, id, pk, now);
    return state_write(state, STATE_KNOWN, buf_view(&next), err);
}
