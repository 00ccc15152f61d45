/* SPDX-License-Identifier: Apache-2.0 */
#include "den/args.h"
#include "tests/check.h"

#include <stdio.h>

static struct err err;
static const char *config, *uses, *dir;

static bool read_words(const char *words)
{
    static const char *const alone_names[] = { "DIR" };
    const struct args_option options[] = { { "config", &config, true }, { "uses", &uses, false } };
    static char copy[256];
    char *argv[16];
    int argc = 0;

    config = uses = dir = NULL;
    snprintf(copy, sizeof(copy), "%s", words);
    for (char *rest = NULL, *word = strtok_r(copy, " ", &rest); word;
         word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    return args_read(argc, argv, options, N_ELEMENTS(options), alone_names, &dir, 1, &err);
}

TEST(options_stand_anywhere)
{
    static const char *const cases[] = {
        "D --config F --uses 3",
        "--config F D --uses 3",
        "--config=F --uses=3 D",
        "--uses 3 --config F D",
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        CHECK_OK(read_words(cases[i]), err);
        CHECK_STR(dir, "D");
        CHECK_STR(config, "F");
        CHECK_STR(uses, "3");
    }
    CHECK_OK(read_words("D --config F"), err);
    CHECK(!uses);
    CHECK_OK(read_words("D --config --uses"), err); /* a value is a value */
    CHECK_STR(config, "--uses");
}

TEST(misuse_is_told)
{
    static const struct {
        const char *words, *why;
    } cases[] = {
        { "D", "--config is missing" },
        { "--config F", "DIR is missing" },
        { "D E --config F", "unexpected \"E\"" },
        { "D --config", "--config needs a value" },
        { "D --config F --config G", "--config is given twice" },
        { "D --config F --colour red", "unknown option --colour" },
        { "D --conf F", "unknown option --conf" },
        { "D --config F --", "unknown option --" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        CHECK_ERR(read_words(cases[i].words), err, ERR_INVALID_ARGUMENT);
        CHECK_STR(err.text, cases[i].why);
    }
}
