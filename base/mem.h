/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is there or the program is not: exhaustion aborts, so sizes that a remote chooses are
 * checked against a limit before anything is allocated. */
#pragma once

#include "base/own.h"

#include <stdlib.h>

void *mem_zero(size_t n, size_t size); /* zeroed; n * size checked; free() it */
void *mem_resize(void *p, size_t n, size_t size);
void *mem_dup(const void *p, size_t size);
char *mem_text(const char *text); /* NULL gives NULL */
char *mem_format(const char *fmt, ...) _printf_(1, 2);
void mem_wipe(void *p, size_t size); /* for secrets: never optimised away */

#define mem_new(type)      ((type *)mem_zero(1, sizeof(type)))
#define mem_array(type, n) ((type *)mem_zero((n), sizeof(type)))

static inline void mem_freep(void *p)
{
    free(*(void **)p);
}
#define _free_ _cleanup_(mem_freep)
