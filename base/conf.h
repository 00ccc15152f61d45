/* SPDX-License-Identifier: Apache-2.0 */
/* Reads `key = value` files against a table of options. One table of options makes the struct's
 * fields, the defaults, the parser and the text of --help:
 *
 *     #define ROUTER_OPTIONS(X) \
 *         X(idle_timeout, DURATION, "45s", "close a connection after this long in silence")
 *
 * Lines are `key = value`; `#` starts a comment at the start of a line or after white space; blank lines
 * are fine; a key may stand once; `key =` says nothing where nothing is the default, but in sections. Every error names file, line and what
 * was expected, and all errors of a file are found in one go. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum conf_type {
    CONF_TEXT,     /* char *, never empty: NULL where the default is "" and nothing else was said */
    CONF_PATH,     /* char *; relative paths are taken from the configuration file's folder */
    CONF_NUMBER,   /* uint64_t */
    CONF_SIZE,     /* uint64_t, bytes: 64KiB, 1MiB */
    CONF_DURATION, /* uint64_t, milliseconds: 500ms, 45s, 10m, 24h, 7d */
    CONF_BOOL,     /* bool: yes, no */
    CONF_ADDRESS,  /* char *: HOST:PORT, [v6]:PORT */
    CONF_NETWORK,  /* char *: the network's name */
};

#define CONF_FIELD_TEXT(name)                  char *name;
#define CONF_FIELD_PATH(name)                  char *name;
#define CONF_FIELD_NUMBER(name)                uint64_t name;
#define CONF_FIELD_SIZE(name)                  uint64_t name;
#define CONF_FIELD_DURATION(name)              uint64_t name;
#define CONF_FIELD_BOOL(name)                  bool name;
#define CONF_FIELD_ADDRESS(name)               char *name;
#define CONF_FIELD_NETWORK(name)               char *name;
#define CONF_FIELD(name, type, fallback, help) CONF_FIELD_##type(name)

struct conf_option {
    const char *name;
    enum conf_type type;
    const char *fallback; /* the default, as text; NULL: the key must be there */
    const char *help;
    size_t offset;
};
/* A row of the table from an X-macro: `#define ROW(...) CONF_ROW(struct router_config, __VA_ARGS__)` */
#define CONF_ROW(where, name, type, fallback, help)                                                \
    { #name, CONF_##type, fallback, help, offsetof(where, name) },

/* Fills `config` (zeroed by the caller). On failure BAD_CONFIG: err holds the first error, *ret_all (may be
 * NULL) one line per error, and conf_deinit() must still be called. */
bool conf_read(const char *path, const struct conf_option *options, size_t n_options, void *config,
               struct buf *ret_all, struct err *err);
/* The same from text; `name` stands for the file in errors. */
bool conf_parse(const char *name, struct view text, const struct conf_option *options,
                size_t n_options, void *config, struct buf *ret_all, struct err *err);
/* The line that sets `key`, from 1; 0 when none does. For checks that come after the reading. */
unsigned conf_line_of(struct view text, const char *key);
void conf_deinit(const struct conf_option *options, size_t n_options, void *config);
/* The same, wiping texts first. */
void conf_wipe(const struct conf_option *options, size_t n_options, void *config);

/* Whether one option has the same value in both configs; and the two values exchanged. */
bool conf_is_same(const struct conf_option *option, const void *a, const void *b);
void conf_swap(const struct conf_option *option, void *a, void *b);
/* The value as a file would say it, in the largest unit that divides it; nothing where it has none. */
void conf_put_value(const struct conf_option *option, const void *config, struct buf *to);

/* A file of sections: "[WORD NAME]" on a line of its own begins one, and the lines up to the next
 * belong to it. */
struct conf_kind {
    const char *word;
    const struct conf_option *options;
    size_t n_options;
    size_t size; /* of the struct that holds the options' fields */
    /* A section that was read without error. False is an error at the line where it began. The
     * config is wiped and freed after it; `name` lives as long as the text. */
    bool (*take)(void *user, struct view name, const void *config, struct err *err);
};
bool conf_parse_sections(const char *name, struct view text, const struct conf_kind *kinds,
                         size_t n_kinds, void *user, struct buf *ret_all, struct err *err);
/* A line per option: name, type, default, help. */
void conf_help(const struct conf_option *options, size_t n_options, struct buf *to);
/* "HOST:PORT" or "[v6]:PORT" apart; `fallback_port` 0 means that a port must be there. */
bool conf_split_address(struct view text, uint16_t fallback_port, char **ret_host,
                        uint16_t *ret_port);
/* "45s", "24h", "7d" as milliseconds, for options of a command. */
bool conf_duration(struct view text, uint64_t *ret_ms);
