/* SPDX-License-Identifier: Apache-2.0 */
/* What `warren-den init` says and writes for people. */
#include "den/init.h"
#include "base/clock.h"

const char init_policy[] =
    "# Who may reach whom: policy.yaml(5). An ordered list of rules; the first that matches "
    "decides.\n"
    "# No rule matches: it is forbidden. So without rules, as now, nobody reaches anybody.\n"
    "#\n"
    "# groups:\n"
    "#   staff: [456000, 123456]\n"
    "#\n"
    "# rules:\n"
    "#   - {from: 456000, to: 123456, can: [chat, 'tunnel:3389'], back: [chat], consent: ask}\n"
    "#   - {from: any, to: 777777, can: any, consent: deny}\n"
    "#   - from: group:staff\n"
    "#     to: any\n"
    "#     can: [chat, file]\n"
    "#     when: {days: mon-fri, hours: 08:00-18:00, zone: Europe/Berlin}\n"
    "#     longest: 8h\n"
    "#\n"
    "# A rule matches when every capability that is asked for is among its own, one that denies "
    "when any\n"
    "# is. `back` is what the called side may open in return; consent ask (the default) asks the "
    "person\n"
    "# there. `warren-den policy check` looks at a file; a running den takes a changed one on "
    "SIGHUP, and\n"
    "# one with an error is refused whole: the old rules stay.\n"
    "\n"
    "rules:\n";

static void put_line(struct buf *to, const char *what, const char *name, const char *detail,
                     uint64_t until)
{
    char text[CLOCK_TEXT];

    buf_printf(to, "  %-14s %s%s, valid until %s\n", what, name, detail, clock_text(until, text));
}

void init_put_text(const struct init_made *m, struct buf *to)
{
    char until[CLOCK_TEXT];

    buf_printf(to, "The network %s is made, in %s.\n\n", m->network, m->dir);
    put_line(to, "root", "root.pem", "", m->root_until);
    buf_printf(to, "  %-14s %s\n", "  its SHA-256", m->pin);
    if (m->root_token)
        buf_printf(to, "  %-14s %s\n", "  its key", m->root_token);
    put_line(to, "intermediate", "intermediate.pem", "", m->intermediate_until);
    if (m->intermediate_token)
        buf_printf(to, "  %-14s %s\n", "  its key", m->intermediate_token);
    put_line(to, "manifest", "number 1", ": den's keys and the router's", m->manifest_until);
    put_line(to, "router", m->host, "", m->router_until);
    put_line(to, "first admin", "admin.join", " (once)", m->join_until);
    buf_printf(
        to,
        "\nNext:\n"
        "  1. The router takes its answer:   warren-router accept ROUTER-DIR %s\n"
        "     and starts:                    warren-router --config ROUTER-DIR/router.conf\n"
        "  2. Start den:                     warren-den run --config %s/den.conf\n"
        "  3. Join as the first admin:       warren join < %s/admin.join\n"
        "     That file is a secret until it was used; remove it then.\n"
        "  4. Hand out join strings:         warren-den token add --config %s/den.conf\n"
        "  5. Say who may reach whom:        %s/policy.yaml; until then nobody reaches anybody.\n",
        m->answer_path, m->dir, m->dir, m->dir, m->dir);
    clock_text(m->manifest_until, until);
    if (m->is_root_elsewhere)
        buf_printf(to,
                   "  6. Compare the root's SHA-256 with what root sign printed, before anybody "
                   "joins. The root\n"
                   "     signs the next manifest, before %s: warren-den rollover renew "
                   "--request FILE.\n",
                   until);
    else if (m->root_token)
        buf_printf(
            to,
            "  6. Put the token with the root's key away. Nothing that runs needs it; it signs "
            "the next\n"
            "     manifest, before %s. %s/root.key says how to find it, and\n"
            "     holds no secret. No backup of this folder has a key that is in a token.\n",
            until, m->dir);
    else
        buf_printf(to,
                   "  6. Move %s/root.key to a place that is offline. Nothing that runs needs it;\n"
                   "     it signs the next manifest, before %s. Without its passphrase it is of no "
                   "use.\n",
                   m->dir, until);
}

void init_put_waiting(const char *dir, const char *wait, const char *request, bool has_pin,
                      struct buf *to)
{
    buf_printf(
        to,
        "There is no network yet: its root is asked first. den's keys wait in %s.\n\n"
        "Next:\n"
        "  1. Take %s to the root's machine. It holds no secret.\n"
        "  2. There:                         warren-den root sign %s --root-key root.key -o "
        "founding.resp\n"
        "     makes the root's key in root.key, under a passphrase, and prints the root's "
        "SHA-256.\n"
        "  3. Bring founding.resp back:      warren-den init %s --root-response founding.resp\n"
        "     and compare the SHA-256 that it prints.%s\n"
        "To begin anew instead, remove %s.\n",
        wait, request, request, dir, has_pin ? " It asks for the intermediate's PIN again." : "",
        wait);
}
