/* SPDX-License-Identifier: Apache-2.0 */
/* known_names: whom each name meant when it was last dialled. Names may be handed on, and den says so truly: but who knew somebody
 * by a name is told when it is somebody else's. */
#include "peer/known.h"
#include "peer/session.h"

#include <stdio.h>

enum { MOST = 4096 /* lines; the oldest go */ };

/* "NAME ID" of the next line; empty views where it is something else. */
static bool next_line(struct view *text, struct view *ret_name, struct view *ret_id)
{
    const uint8_t *end, *space;
    struct view line;

    if (!text->len)
        return false;
    end = memchr(text->data, '\n', text->len);
    line = view_sub(*text, 0, end ? (size_t)(end - text->data) : text->len);
    *text = view_sub(*text, line.len + 1, text->len);
    space = line.len ? memchr(line.data, ' ', line.len) : NULL;
    *ret_name = space ? view_sub(line, 0, (size_t)(space - line.data)) : VIEW(NULL, 0);
    *ret_id = space ? view_sub(line, ret_name->len + 1, line.len) : VIEW(NULL, 0);
    return true;
}

/* Everybody else's lines, the newest MOST of them, go to `to`; the ID that the name meant before to *ret_id. */
static void sift(struct view text, const char *name, struct buf *to, char ret_id[TEXT_ID])
{
    struct view rest = text, its_name, id;
    size_t n = 0;

    while (next_line(&rest, &its_name, &id))
        n++;
    for (rest = text; next_line(&rest, &its_name, &id); n--) {
        bool is_it = view_eq_text(its_name, name) && text_is_id(id);
        if (is_it)
            snprintf(ret_id, TEXT_ID, "%.*s", VIEW_FMT(id));
        else if (id.len && n < MOST)
            buf_printf(to, "%.*s %.*s\n", VIEW_FMT(its_name), VIEW_FMT(id));
    }
}

static void tell(struct core *core, const char *name, const char *before, const char *now)
{
    struct hub_event *event = hub_event_new(PEER_EVENT_NAME_MOVED);
    struct err what = { 0 };

    err_set(&what, ERR_NAME_MOVED, "%s meant %s when it was last dialled; now it means %s", name,
            before, now);
    snprintf(event->remote_id, sizeof(event->remote_id), "%.15s", now);
    event->event.remote_id = event->remote_id;
    hub_error(&what, &event->event.error);
    hub_put(core->hub, event);
}

/* A file that cannot be read or written costs the notice alone. */
void known_name(struct core *core, const char *name, const char *id)
{
    char before[TEXT_ID] = "";
    _buf_ text = { 0 }, next = { 0 };
    struct err ignored;
    bool exists;

    if (!state_read_if(core->state, STATE_NAMES, &text, &exists, &ignored))
        return;
    sift(buf_view(&text), name, &next, before);
    if (strcmp(before, id) == 0)
        return;
    if (*before)
        tell(core, name, before, id);
    buf_printf(&next, "%s %s\n", name, id);
    state_write(core->state, STATE_NAMES, buf_view(&next), &ignored);
}
