/* SPDX-License-Identifier: Apache-2.0 */
/* A well-formed statement of every word, made of fixed bytes: the same every time. */
#pragma once

#include "rpc/statement_words.h"

void sample_statement(enum rpc_word word, union rpc_any_statement *ret_any);
struct key *sample_identity(void); /* seed 00..1f; the caller frees it */
struct key *sample_den(void);      /* seed 20..3f */
