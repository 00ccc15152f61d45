/* SPDX-License-Identifier: Apache-2.0 */
/* What den's plain HTTP serves: the revocation list, the authorities' certificates, OCSP. All of it is
 * signed and public. No I/O. */
#pragma once

#include "den/core.h"

struct web_page {
    unsigned status;  /* HTTP's */
    const char *type; /* Content-Type */
    struct buf body;  /* owned by the caller */
};
/* `path` is without the query, as it came: percent-encoded. A GET has no body. `source`: the address of who asks. */
void web_serve(struct den_core *core, bool is_post, struct view path, struct view body,
               struct view source, struct web_page *page);
