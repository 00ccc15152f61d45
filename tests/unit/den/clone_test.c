/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/den/world.h"

#define POLICY "rules: [{from: any, to: any, can: any, consent: deny}]\n"

static void notice(struct world *w, const char *id, const char *address, const char *other)
{
    _buf_ args = { 0 };

    rpc_put_array(&args, 4);
    rpc_put_str(&args, id);
    rpc_put_str(&args, address);
    rpc_put_str(&args, other);
    rpc_put_u64(&args, w->wall);
    den_core_on_clone(w->core, rpc_args(buf_view(&args)));
}

TEST(a_clone_is_audited_with_both_addresses)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);

    notice(w, "456000", "192.0.2.1", "2001:db8::7");
    CHECK_U64(world_audited(w, "identity.cloned", "456000"), 1);
    CHECK_U64(world_audited(w, "192.0.2.1", "2001:db8::7"), 1);
}

/* One that tries every minute for a day does not fill the audit, nor keep others out of it. */
TEST(each_id_has_its_share_of_the_audit)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);

    for (int i = 0; i < 60; i++) {
        notice(w, "456000", "192.0.2.1", "192.0.2.2");
        world_pass(w, 60000);
    }
    notice(w, "456001", "192.0.2.1", "192.0.2.2");
    CHECK_U64(world_audited(w, "identity.cloned", "456000"), 10); /* 5 and one in 10 min */
    CHECK_U64(world_audited(w, "identity.cloned", "456001"), 1);
}

TEST(what_cannot_be_read_is_passed_over)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _buf_ args = { 0 };
    char text[200];

    den_core_on_clone(w->core, rpc_args(VIEW_LIT("\x90")));
    rpc_put_array(&args, 1);
    rpc_put_u64(&args, 7);
    den_core_on_clone(w->core, rpc_args(buf_view(&args)));
    memset(text, '1', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    notice(w, "456000", text, "192.0.2.2");
    CHECK_U64(world_audited(w, "identity.cloned", NULL), 0);
}
