/* SPDX-License-Identifier: Apache-2.0 */
/* The configurations that the router reads: router.conf, and realms.conf with its principals. */
#include "base/file.h"
#include "router/config.h"
#include "router/realms.h"
#include "tests/check.h"
#include "tests/fuzz/fuzz.h"

#include <unistd.h>

static void read_options(struct view text)
{
    struct router_config config = { 0 };
    struct err err = { 0 };
    _buf_ all = { 0 };

    if (!router_config_parse("fuzz", text, &config, &all, &err) && (!err.code || !all.len))
        abort(); /* whoever is refused is told why */
    router_config_deinit(&config);
}

/* The text stands for both files, as each is read by the rules of the other too. */
static void read_realms(struct view text)
{
    _free_ char *path = file_path(check_dir(), "realms.conf");
    _free_ char *principals = file_path(check_dir(), "principals");
    struct realms *realms = NULL;
    struct err err = { 0 };
    _buf_ all = { 0 };

    unlink(path);
    unlink(principals);
    if (!file_write(path, text, 0644, &err) || !file_write(principals, text, 0600, &err))
        abort();
    if (realms_read(path, "corp.example", &realms, &all, &err))
        realms_free(realms);
    else if (!err.code)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == '[')
        read_realms(VIEW(data, size));
    else
        read_options(VIEW(data, size));
    return 0;
}
