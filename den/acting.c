/* SPDX-License-Identifier: Apache-2.0 */
#include "den/acting.h"

#include "base/mem.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_GROUPS = 1024 };

struct owner owner_self(void)
{
    return (struct owner){ getuid(), getgid() };
}

static const char *name_of(uid_t uid)
{
    const struct passwd *pw = getpwuid(uid);

    return pw ? pw->pw_name : "";
}

bool owner_of_dir(const char *dir, struct owner *ret_owner, struct err *err)
{
    struct stat st;

    if (stat(dir, &st) != 0)
        return errno == ENOENT ? err_set(err, ERR_NOT_FOUND, "%s: no such folder", dir)
                               : err_errno(err, "%s", dir);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, ERR_BAD_CONFIG, "%s: is no folder", dir);
    if (getuid() != 0 && st.st_uid != geteuid())
        return err_set(
            err, ERR_NOT_AUTHORIZED,
            "%s belongs to user %u (%s): run this as root, which acts as that user there", dir,
            (unsigned)st.st_uid, name_of(st.st_uid));
    *ret_owner = (struct owner){ st.st_uid, st.st_gid };
    return true;
}

struct owner owner_for_file(const char *path, const struct owner *other)
{
    _free_ char *dir = mem_text(path);
    char *slash = strrchr(dir, '/');
    struct stat st;

    if (slash)
        slash[slash == dir] = '\0';
    if (stat(path, &st) != 0 && stat(slash ? dir : ".", &st) != 0)
        return owner_self();
    return st.st_uid == other->uid ? *other : owner_self();
}

bool owner_check_guide(const char *path, const struct owner *place, struct err *err)
{
    struct stat st;

    if (getuid() != 0 || !path)
        return true;
    if (stat(path, &st) != 0)
        return err_errno(err, "%s", path);
    return st.st_uid == 0 || st.st_uid == place->uid ||
           err_set(err, ERR_EXPOSED,
                   "%s belongs to user %u, and the folder that it names to user %u: root does not "
                   "go where somebody else points",
                   path, (unsigned)st.st_uid, (unsigned)place->uid);
}

/* ---- being another --------------------------------------------------------------------------- */

static bool take_groups_of(const struct owner *as)
{
    const struct passwd *pw = getpwuid(as->uid);
    gid_t theirs[MAX_GROUPS];
    int n = MAX_GROUPS;

    if (!pw || getgrouplist(pw->pw_name, as->gid, theirs, &n) < 0)
        return setgroups(1, &as->gid) == 0;
    return setgroups((size_t)n, theirs) == 0;
}

/* Root's own groups would open doors that the other user does not have; the other's open what is shared with that user. */
static bool take_groups(const struct owner *as)
{
    static gid_t ours[MAX_GROUPS];
    static int n = -1;

    if (n < 0)
        n = getgroups(MAX_GROUPS, ours);
    if (n < 0)
        return false;
    return as->uid == 0 ? setgroups((size_t)n, ours) == 0 : take_groups_of(as);
}

static bool become(const struct owner *as)
{
    if (geteuid() == as->uid && getegid() == as->gid)
        return true;
    return seteuid(0) == 0 && take_groups(as) && setegid(as->gid) == 0 && seteuid(as->uid) == 0;
}

bool acting_begin(struct acting *acting, const struct owner *as, struct err *err)
{
    struct owner before = { geteuid(), getegid() };

    if (getuid() != 0)
        return true;
    if (!become(as)) {
        err_errno(err, "acting as user %u", (unsigned)as->uid);
        if (!become(&before))
            abort();
        return false;
    }
    *acting = (struct acting){ true, before };
    return true;
}

void acting_end(struct acting *acting)
{
    int saved = errno;

    if (acting->is_on && !become(&acting->before))
        abort(); /* as whom nothing may go on */
    acting->is_on = false;
    errno = saved;
}
