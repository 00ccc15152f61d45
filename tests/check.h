/* SPDX-License-Identifier: Apache-2.0 */
/* A test program is a file of TEST()s; it prints TAP, which meson reads.
 *
 *     TEST(call_read_refuses_an_empty_component)
 *     {
 *         CHECK(!read(...));
 *         CHECK_STR(err.text, "CALL: procedure: empty component");
 *     }
 *
 * A failed CHECK prints where and what, and the test goes on; CHECK_OK ends the test function. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>

struct check_test {
    const char *name;
    void (*run)(void);
    struct check_test *next;
};
void check_register(struct check_test *test);
void check_failed(const char *file, int line, const char *fmt, ...) _printf_(3, 4);
unsigned check_n_failed(void);    /* in the test that runs */
void check_skip(const char *why); /* the rest of the test is not run: return after it */
bool check_str(const char *file, int line, const char *got, const char *wanted);
bool check_u64(const char *file, int line, const char *what, uint64_t got, uint64_t wanted);
bool check_view(const char *file, int line, struct view got, struct view wanted);
/* $WARREN_VECTORS/`name`, or NULL (and the test is marked as skipped, saying so). The caller frees it. */
char *check_vectors(const char *name);
/* A fresh private folder, removed at exit. Owned by the frame. */
const char *check_dir(void);
/* The source tree's root, from meson. */
const char *check_source_root(void);

#define TEST(n)                                                                                    \
    static void test_##n(void);                                                                    \
    __attribute__((constructor)) static void register_##n(void)                                    \
    {                                                                                              \
        static struct check_test test = { #n, test_##n, NULL };                                    \
        check_register(&test);                                                                     \
    }                                                                                              \
    static void test_##n(void)

#define CHECK(cond)                                                                                \
    ({                                                                                             \
        bool ok_ = (cond);                                                                         \
        if (!ok_)                                                                                  \
            check_failed(__FILE__, __LINE__, "not true: %s", #cond);                               \
        ok_;                                                                                       \
    })
/* For calls that take &err: prints the error and leaves the test. */
#define CHECK_OK(call, e)                                                                          \
    do {                                                                                           \
        if (!(call)) {                                                                             \
            check_failed(__FILE__, __LINE__, "%s: %s (%s)", #call, (e).text,                       \
                         err_code_name((e).code));                                                 \
            return;                                                                                \
        }                                                                                          \
    } while (0)
#define CHECK_STR(got, wanted) check_str(__FILE__, __LINE__, (got), (wanted))
#define CHECK_U64(got, wanted)                                                                     \
    check_u64(__FILE__, __LINE__, #got, (uint64_t)(got), (uint64_t)(wanted))
#define CHECK_VIEW(got, wanted) check_view(__FILE__, __LINE__, (got), (wanted))
/* The call failed with that code: CHECK_ERR(f(&err), err, ERR_DENIED); */
#define CHECK_ERR(call, e, wanted)                                                                 \
    do {                                                                                           \
        (e) = (struct err){ 0 };                                                                   \
        if (call)                                                                                  \
            check_failed(__FILE__, __LINE__, "succeeded, wanted %s: %s", err_code_name(wanted),    \
                         #call);                                                                   \
        else if ((e).code != (wanted))                                                             \
            check_failed(__FILE__, __LINE__, "got %s (%s), wanted %s", err_code_name((e).code),    \
                         (e).text, err_code_name(wanted));                                         \
    } while (0)
