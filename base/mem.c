/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void *or_abort(void *p)
{
    if (!p)
        abort();
    return p;
}

void *mem_zero(size_t n, size_t size)
{
    return or_abort(calloc(n ? n : 1, size ? size : 1));
}

void *mem_resize(void *p, size_t n, size_t size)
{
    return or_abort(reallocarray(p, n ? n : 1, size ? size : 1));
}

void *mem_dup(const void *p, size_t size)
{
    void *copy = mem_zero(size, 1);

    if (size)
        memcpy(copy, p, size);
    return copy;
}

char *mem_text(const char *text)
{
    return text ? mem_dup(text, strlen(text) + 1) : NULL;
}

char *mem_format(const char *fmt, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        abort();
    va_end(args);
    return text;
}

void mem_wipe(void *p, size_t size)
{
    if (p && size)
        sodium_memzero(p, size);
}
