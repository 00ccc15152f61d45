/* SPDX-License-Identifier: Apache-2.0 */
/* What the other side says of its ways: a candidate line, a description of all of them. What is taken is written and read
 * as the same again. */
#include "ice/candidate.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void read_line(struct view line)
{
    _buf_ once = { 0 };
    _buf_ twice = { 0 };
    struct candidate candidate, back;
    struct err err;

    if (!candidate_read(line, &candidate, &err))
        return;
    candidate_write(&candidate, &once);
    if (!candidate_read(buf_view(&once), &back, &err))
        abort();
    candidate_write(&back, &twice);
    if (!view_eq(buf_view(&once), buf_view(&twice)))
        abort();
}

static void read_description(struct view text)
{
    _cleanup_(ice_description_deinit) struct ice_description description = { 0 }, back = { 0 };
    _buf_ once = { 0 };
    _buf_ twice = { 0 };
    struct err err;

    if (!ice_description_read(text, &description, &err))
        return;
    ice_description_write(&description, &once);
    if (!ice_description_read(buf_view(&once), &back, &err))
        abort();
    ice_description_write(&back, &twice);
    if (!view_eq(buf_view(&once), buf_view(&twice)))
        abort();
}

/* Those of later, of the same lines. */
static void read_later(struct view text)
{
    _cleanup_(ice_description_deinit) struct ice_description later = { 0 };
    struct err err;

    if (ice_description_read_later(text, &later, &err) &&
        (later.ufrag || later.n_candidates > ICE_MAX_LATER))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err;

    read_line(VIEW(data, size));
    read_description(VIEW(data, size));
    read_later(VIEW(data, size));
    ice_candidate_check(VIEW(data, size), size % 2, &err);
    return 0;
}
