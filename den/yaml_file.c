/* SPDX-License-Identifier: Apache-2.0 */
#include "den/yaml_file.h"

#include "base/map.h"

#include <yaml.h>

enum { BLOCK = 256 };

struct block { /* of nodes; they stay where they are */
    struct block *next;
    struct yaml_node node[BLOCK];
};

struct text {
    struct text *next;
    uint8_t bytes[];
};

struct yaml_file {
    struct block *blocks;
    struct text *texts;
    size_t n;
    struct yaml_node *root;
};

struct reading {
    const char *name;
    struct yaml_file *yaml;
    yaml_parser_t parser;
    struct err *err;
};

static bool fail_at(struct reading *r, yaml_mark_t mark, const char *what)
{
    return err_set(r->err, ERR_BAD_CONFIG, "%s:%zu:%zu: %s", r->name, mark.line + 1,
                   mark.column + 1, what);
}

static bool fail_syntax(struct reading *r)
{
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem ? p->problem : "it is not YAML";

    if (p->error == YAML_READER_ERROR)
        return err_set(r->err, ERR_BAD_CONFIG, "%s: at byte %zu: %s", r->name, p->problem_offset,
                       problem);
    if (p->context && strstr(p->context, "scanning an alias"))
        return fail_at(r, p->context_mark,
                       "expected an alias's name behind *: for anybody, or anything, write any");
    if (p->context)
        return err_set(r->err, ERR_BAD_CONFIG, "%s:%zu:%zu: %s, %s (that began in line %zu)",
                       r->name, p->problem_mark.line + 1, p->problem_mark.column + 1, problem,
                       p->context, p->context_mark.line + 1);
    return fail_at(r, p->problem_mark, problem);
}

static bool next_event(struct reading *r, yaml_event_t *event)
{
    return yaml_parser_parse(&r->parser, event) || fail_syntax(r);
}

static struct yaml_node *node_new(struct reading *r, enum yaml_kind kind, yaml_mark_t mark)
{
    struct yaml_file *yaml = r->yaml;

    if (yaml->n % BLOCK == 0) {
        struct block *block = mem_new(struct block);
        block->next = yaml->blocks;
        yaml->blocks = block;
    }
    struct yaml_node *node = &yaml->blocks->node[yaml->n++ % BLOCK];
    node->kind = kind;
    node->line = (unsigned)mark.line + 1;
    node->column = (unsigned)mark.column + 1;
    return node;
}

static struct view keep_text(struct yaml_file *yaml, struct view text)
{
    struct text *kept = mem_zero(1, sizeof(*kept) + text.len + 1);

    if (text.len)
        memcpy(kept->bytes, text.data, text.len);
    kept->next = yaml->texts;
    yaml->texts = kept;
    return VIEW(kept->bytes, text.len);
}

static bool check_plainness(struct reading *r, const yaml_event_t *e, const yaml_char_t *anchor,
                            const yaml_char_t *tag)
{
    if (anchor)
        return fail_at(r, e->start_mark, "anchors (&) are not understood here: write it out");
    return !tag || fail_at(r, e->start_mark, "tags (!) are not understood here: leave them out");
}

static bool read_node(struct reading *r, yaml_event_t *e, unsigned depth,
                      struct yaml_node **ret_node);

/* Items up to `end`. */
static bool read_items(struct reading *r, yaml_event_type_t end, unsigned depth,
                       struct yaml_node *into)
{
    struct yaml_node **at = &into->first;

    for (;;) {
        yaml_event_t e;
        bool is_end, ok;
        if (!next_event(r, &e))
            return false;
        is_end = e.type == end;
        ok = is_end || read_node(r, &e, depth, at);
        yaml_event_delete(&e);
        if (!ok || is_end)
            return ok;
        at = &(*at)->next;
        into->n++;
    }
}

static bool check_keys(struct reading *r, const struct yaml_node *map)
{
    _cleanup_(map_freep) struct map *seen = map_new();

    for (const struct yaml_node *key = map->first; key; key = key->next->next) {
        yaml_mark_t mark = { .line = key->line - 1, .column = key->column - 1 };
        if (key->kind != YAML_TEXT)
            return fail_at(r, mark, "expected a key, found a list or a mapping");
        if (map_set(seen, key->text, r))
            return err_set(r->err, ERR_BAD_CONFIG, "%s:%u:%u: \"%.*s\" stands here a second time",
                           r->name, key->line, key->column, VIEW_FMT(view_sub(key->text, 0, 64)));
    }
    return true;
}

static bool read_scalar(struct reading *r, const yaml_event_t *e, struct yaml_node **ret_node)
{
    const struct view text = VIEW(e->data.scalar.value, e->data.scalar.length);
    struct yaml_node *node;

    if (!check_plainness(r, e, e->data.scalar.anchor, e->data.scalar.tag))
        return false;
    node = node_new(r, YAML_TEXT, e->start_mark);
    node->text = keep_text(r->yaml, text);
    node->is_empty = !text.len && e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    *ret_node = node;
    return true;
}

static bool read_list(struct reading *r, const yaml_event_t *e, unsigned depth,
                      struct yaml_node **ret_node)
{
    if (!check_plainness(r, e, e->data.sequence_start.anchor, e->data.sequence_start.tag))
        return false;
    *ret_node = node_new(r, YAML_LIST, e->start_mark);
    return read_items(r, YAML_SEQUENCE_END_EVENT, depth + 1, *ret_node);
}

static bool read_map(struct reading *r, const yaml_event_t *e, unsigned depth,
                     struct yaml_node **ret_node)
{
    if (!check_plainness(r, e, e->data.mapping_start.anchor, e->data.mapping_start.tag))
        return false;
    *ret_node = node_new(r, YAML_MAP, e->start_mark);
    if (!read_items(r, YAML_MAPPING_END_EVENT, depth + 1, *ret_node))
        return false;
    (*ret_node)->n /= 2;
    return check_keys(r, *ret_node);
}

static bool read_node(struct reading *r, yaml_event_t *e, unsigned depth,
                      struct yaml_node **ret_node)
{
    if (r->yaml->n >= YAML_MAX_NODES)
        return fail_at(r, e->start_mark, "there is too much in this file");
    if (depth > YAML_MAX_DEPTH)
        return fail_at(r, e->start_mark, "this is nested too deeply");
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return read_scalar(r, e, ret_node);
    case YAML_SEQUENCE_START_EVENT:
        return read_list(r, e, depth, ret_node);
    case YAML_MAPPING_START_EVENT:
        return read_map(r, e, depth, ret_node);
    case YAML_ALIAS_EVENT:
        return fail_at(r, e->start_mark,
                       "aliases (*) are not understood here: write it out; for anybody, or "
                       "anything, write any");
    default:
        return fail_at(r, e->start_mark, "expected a value");
    }
}

/* The first document; a second one is an error. */
static bool read_stream(struct reading *r)
{
    yaml_event_t e;
    size_t n_documents = 0;
    bool ok = true, is_over = false;

    while (ok && !is_over) {
        if (!next_event(r, &e))
            return false;
        is_over = e.type == YAML_STREAM_END_EVENT;
        if (e.type == YAML_DOCUMENT_START_EVENT && n_documents++)
            ok = fail_at(r, e.start_mark, "a second document begins here: one file is one");
        else if (e.type != YAML_STREAM_START_EVENT && e.type != YAML_DOCUMENT_START_EVENT &&
                 e.type != YAML_DOCUMENT_END_EVENT && !is_over)
            ok = read_node(r, &e, 0, &r->yaml->root);
        yaml_event_delete(&e);
    }
    return ok;
}

bool yaml_file_parse(const char *name, struct view text, struct yaml_file **ret_yaml,
                     struct err *err)
{
    _cleanup_(yaml_file_freep) struct yaml_file *yaml = mem_new(struct yaml_file);
    struct reading r = { .name = name, .yaml = yaml, .err = err };
    bool ok;

    if (!yaml_parser_initialize(&r.parser))
        return err_set(err, ERR_SYSTEM, "libyaml does not start");
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, text.len ? text.data : (const uint8_t *)"", text.len);
    ok = read_stream(&r);
    yaml_parser_delete(&r.parser);
    if (!ok)
        return false;
    if (!yaml->root) {
        yaml->root = node_new(&r, YAML_TEXT, (yaml_mark_t){ 0 });
        yaml->root->is_empty = true;
    }
    *ret_yaml = STEAL(yaml);
    return true;
}

const struct yaml_node *yaml_file_root(const struct yaml_file *yaml)
{
    return yaml->root;
}

void yaml_file_free(struct yaml_file *yaml)
{
    if (!yaml)
        return;
    for (struct block *block = yaml->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    for (struct text *text = yaml->texts, *next; text; text = next) {
        next = text->next;
        free(text);
    }
    free(yaml);
}
