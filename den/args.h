/* SPDX-License-Identifier: Apache-2.0 */
/* The words behind a verb: `--name VALUE` or `--name=VALUE`, and what stands alone. */
#pragma once

#include "base/err.h"

struct args_option {
    const char *name;   /* "config" */
    const char **value; /* keeps what it holds when the option is not given */
    bool is_needed;
    bool *flag; /* instead of a value: set when it is given */
};
/* `alone` takes exactly `n_alone` words; their names, for errors, are in `alone_names`. INVALID_ARGUMENT. */
bool args_read(int argc, char **argv, const struct args_option *options, size_t n_options,
               const char *const *alone_names, const char **alone, size_t n_alone, struct err *err);
