/* SPDX-License-Identifier: Apache-2.0 */
/* An intrusive, circular, doubly linked list. A head points to itself when empty. A node that may
 * not be linked is initialised with list_init() too: list_remove() on it is harmless. */
#pragma once

#include "base/own.h"

#include <stdbool.h>

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *node)
{
    node->next = node->prev = node;
}

static inline bool list_is_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_append(struct list *head, struct list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

#define LIST_ITEM(node, type, member) CONTAINER(node, type, member)
/* The body may remove `item`, nothing else. */
#define LIST_EACH(item, head, member)                                                              \
    for (struct list *node_ = (head)->next, *after_ = node_->next;                                 \
         node_ != (head) && (item = CONTAINER(node_, __typeof__(*item), member), true);            \
         node_ = after_, after_ = node_->next)
