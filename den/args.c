/* SPDX-License-Identifier: Apache-2.0 */
#include "den/args.h"

#include <stdint.h>
#include <string.h>

static const struct args_option *find(const struct args_option *options, size_t n, const char *name,
                                      size_t len)
{
    for (size_t i = 0; i < n; i++) {
        if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
            return &options[i];
    }
    return NULL;
}

/* The option at argv[*at]; *at moves on to its last word. `seen`: a bit per option. */
static bool read_option(int argc, char **argv, int *at, const struct args_option *options, size_t n,
                        uint64_t *seen, struct err *err)
{
    const char *word = argv[*at] + 2;
    size_t len = strcspn(word, "=");
    const struct args_option *option = find(options, n, word, len);
    uint64_t bit;

    if (!option)
        return err_set(err, ERR_INVALID_ARGUMENT, "unknown option --%.*s",
                       (int)(len > 64 ? 64 : len), word);
    bit = (uint64_t)1 << (option - options);
    if (*seen & bit)
        return err_set(err, ERR_INVALID_ARGUMENT, "--%s is given twice", option->name);
    *seen |= bit;
    if (option->flag) {
        *option->flag = true;
        return word[len] != '=' ||
               err_set(err, ERR_INVALID_ARGUMENT, "--%s takes no value", option->name);
    }
    if (word[len] == '=')
        *option->value = word + len + 1;
    else if (*at + 1 < argc)
        *option->value = argv[++*at];
    else
        return err_set(err, ERR_INVALID_ARGUMENT, "--%s needs a value", option->name);
    return true;
}

bool args_read(int argc, char **argv, const struct args_option *options, size_t n_options,
               const char *const *alone_names, const char **alone, size_t n_alone, struct err *err)
{
    uint64_t seen = 0;
    size_t n = 0;

    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0) {
            if (!read_option(argc, argv, &i, options, n_options, &seen, err))
                return false;
        } else if (n == n_alone) {
            return err_set(err, ERR_INVALID_ARGUMENT, "unexpected \"%.64s\"", argv[i]);
        } else {
            alone[n++] = argv[i];
        }
    }
    if (n < n_alone)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s is missing", alone_names[n]);
    for (size_t i = 0; i < n_options; i++) {
        if (options[i].is_needed && !(seen & (uint64_t)1 << i))
            return err_set(err, ERR_INVALID_ARGUMENT, "--%s is missing", options[i].name);
    }
    return true;
}
