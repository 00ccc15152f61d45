/* SPDX-License-Identifier: Apache-2.0 */
/* A harness is one function; it is built with libFuzzer (-Dfuzz=true, clang), and always with
 * replay.c, which runs it over its corpus as a unit test. It aborts on what must not be. */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
