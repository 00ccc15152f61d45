/* SPDX-License-Identifier: Apache-2.0 */
/* Root acts in a folder as the user whose folder it is: what is checked there holds for that user, what is made there belongs to
 * that user, and a link that lies there leads nowhere where that user could not go. Whoever is not root acts as themselves. */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <sys/types.h>

struct owner {
    uid_t uid;
    gid_t gid;
};
struct owner owner_self(void); /* who started this process */
/* Whose the folder is. NOT_FOUND; NOT_AUTHORIZED for whoever is neither that user nor root. */
bool owner_of_dir(const char *dir, struct owner *ret_owner, struct err *err);
/* Who opens a file that was named to us: `other` for what is in that user's hands (the file, or the folder where it is to be
 * made), else who started this process. */
struct owner owner_for_file(const char *path, const struct owner *other);
/* A file that says where root is to work belongs to root, or to whoever owns that place: EXPOSED. NULL: nobody but
 * our own caller says it. */
bool owner_check_guide(const char *path, const struct owner *place, struct err *err);

/* Until its end of life. They nest. */
struct acting {
    bool is_on;
    struct owner before;
};
#define _acting_ _cleanup_(acting_end)
bool acting_begin(struct acting *acting, const struct owner *as, struct err *err);
void acting_end(struct acting *acting);
