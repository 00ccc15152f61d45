/* SPDX-License-Identifier: Apache-2.0 */
#include "ice/ice.h"

void ice_description_deinit(struct ice_description *d)
{
    free(d->ufrag);
    if (d->pwd)
        mem_wipe(d->pwd, strlen(d->pwd));
    free(d->pwd);
    for (size_t i = 0; i < d->n_candidates; i++)
        free(d->candidates[i]);
    *d = (struct ice_description){ 0 };
}

void ice_description_write(const struct ice_description *d, struct buf *to)
{
    buf_printf(to, "ice-ufrag:%s\nice-pwd:%s\n", d->ufrag, d->pwd);
    for (size_t i = 0; i < d->n_candidates; i++)
        buf_printf(to, "%s\n", d->candidates[i]);
    if (d->is_complete)
        buf_put_text(to, "end-of-candidates\n");
}

/* "NAME:VALUE", the value `least` or more of RFC 8839's ice-char. The line bounds it from above. */
static bool read_credential(struct view line, const char *name, size_t least, char **ret_value,
                            struct err *err)
{
    struct view start = view_text(name), value = view_sub(line, start.len, line.len);

    if (!view_starts(line, start))
        return err_set(err, ERR_BAD_WIRE, "wanted \"%s\"", name);
    if (value.len < least)
        return err_set(err, ERR_BAD_WIRE, "%s shorter than %zu characters", name, least);
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '+' || c == '/'))
            return err_set(err, ERR_BAD_WIRE, "%s a character out of its set", name);
    }
    *ret_value = view_dup_text(value);
    return true;
}

static bool read_candidate(struct view line, size_t most, struct ice_description *d,
                           struct err *err)
{
    if (d->is_complete)
        return err_set(err, ERR_BAD_WIRE, "something after end-of-candidates");
    if (view_eq_text(line, "end-of-candidates")) {
        d->is_complete = true;
        return true;
    }
    if (d->n_candidates == most)
        return err_set(err, ERR_TOO_LARGE, "more than %zu candidates", most);
    if (!ice_candidate_check(line, true, err))
        return false;
    d->candidates[d->n_candidates++] = view_dup_text(line);
    return true;
}

typedef bool read_line(struct view line, size_t number, struct ice_description *d, struct err *err);

static bool read_described(struct view line, size_t number, struct ice_description *d,
                           struct err *err)
{
    if (number == 1)
        return read_credential(line, "ice-ufrag:", 4, &d->ufrag, err);
    if (number == 2)
        return read_credential(line, "ice-pwd:", 22, &d->pwd, err);
    return read_candidate(line, ICE_MAX_CANDIDATES, d, err);
}

static bool read_later(struct view line, _unused_ size_t number, struct ice_description *d,
                       struct err *err)
{
    return read_candidate(line, ICE_MAX_LATER, d, err);
}

static bool read_lines(struct view text, read_line *read, struct ice_description *d,
                       struct err *err)
{
    size_t number = 0;

    while (text.len) {
        const uint8_t *feed = memchr(text.data, '\n', text.len);
        size_t len = feed ? (size_t)(feed - text.data) : text.len;

        number++;
        if (!feed)
            return err_set(err, ERR_BAD_WIRE, "line %zu: no line feed at its end", number);
        if (len >= ICE_MAX_LINE)
            return err_set(err, ERR_TOO_LARGE, "line %zu: longer than %d bytes", number,
                           ICE_MAX_LINE);
        if (!read(view_sub(text, 0, len), number, d, err))
            return err_wrap(err, "line %zu", number);
        text = view_sub(text, len + 1, text.len);
    }
    return true;
}

bool ice_description_read(struct view text, struct ice_description *ret, struct err *err)
{
    _cleanup_(ice_description_deinit) struct ice_description d = { 0 };

    if (text.len > ICE_MAX_OFFER)
        return err_set(err, ERR_TOO_LARGE, "ICE description: longer than %d bytes", ICE_MAX_OFFER);
    if (!read_lines(text, read_described, &d, err) ||
        !(d.pwd || err_set(err, ERR_BAD_WIRE, "ends before ice-pwd")))
        return err_wrap(err, "ICE description");
    *ret = d;
    d = (struct ice_description){ 0 };
    return true;
}

bool ice_description_read_later(struct view text, struct ice_description *ret, struct err *err)
{
    _cleanup_(ice_description_deinit) struct ice_description d = { 0 };

    if (text.len > ICE_MAX_OFFER)
        return err_set(err, ERR_TOO_LARGE, "ICE candidates: longer than %d bytes", ICE_MAX_OFFER);
    if (!read_lines(text, read_later, &d, err))
        return err_wrap(err, "ICE candidates");
    *ret = d;
    d = (struct ice_description){ 0 };
    return true;
}
