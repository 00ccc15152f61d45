/* SPDX-License-Identifier: Apache-2.0 */
/* Ownership, declared where it starts: `_cleanup_(thing_freep) struct thing *t = ...;` frees at the
 * end of the scope, STEAL(t) gives it away. */
#pragma once

#include <stddef.h>

#define _cleanup_(f)   __attribute__((cleanup(f)))
#define _unused_       __attribute__((unused))
#define _printf_(f, a) __attribute__((format(printf, f, a)))
#define _must_check_   __attribute__((warn_unused_result))
/* For what is large, used in every message and written before it is read: elsewhere the compiler
 * writes zeros first. */
#if defined(__has_attribute) && __has_attribute(uninitialized)
#define _uninitialized_ __attribute__((uninitialized))
#else
#define _uninitialized_
#endif

#define STEAL(p)                                                                                   \
    ({                                                                                             \
        __typeof__(p) stolen_ = (p);                                                               \
        (p) = NULL;                                                                                \
        stolen_;                                                                                   \
    })

/* Defines `NAME_freep`, for _cleanup_, from `NAME_free`. */
#define OWN_FREEP(name, type)                                                                      \
    static inline void name##_freep(type **p)                                                      \
    {                                                                                              \
        name##_free(*p);                                                                           \
    }

#define N_ELEMENTS(a)                (sizeof(a) / sizeof(*(a)))
#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
