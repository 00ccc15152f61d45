/* SPDX-License-Identifier: Apache-2.0 */
/* A YAML file as a tree whose every node knows where it stands. The syntax is libyaml's; what makes files hard to judge
 * by eye (anchors, aliases, tags, several documents, the same key twice) is refused, and depth and number are bounded. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum { YAML_MAX_DEPTH = 8, YAML_MAX_NODES = 4000000 };

enum yaml_kind { YAML_TEXT, YAML_LIST, YAML_MAP };
struct yaml_node {
    enum yaml_kind kind;
    unsigned line, column; /* from 1 */
    struct view text;      /* TEXT */
    bool is_empty;         /* TEXT: nothing was written, not even "" */
    /* LIST: its items; MAP: key, value, key, value ... in the file's order. */
    struct yaml_node *first, *next;
    size_t n; /* items, or pairs */
};

struct yaml_file;
/* BAD_CONFIG "name:line:column: ...". A file without a document gives a root that is an empty TEXT. */
bool yaml_file_parse(const char *name, struct view text, struct yaml_file **ret_yaml,
                     struct err *err);
const struct yaml_node *yaml_file_root(const struct yaml_file *yaml);
void yaml_file_free(struct yaml_file *yaml);
OWN_FREEP(yaml_file, struct yaml_file)
