/* SPDX-License-Identifier: Apache-2.0 */
/* The socket that a direct pair has beside libnice's (agent_socket.c), from outside. */
#include "tests/unit/ice/two.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

TEST(a_direct_pair_has_a_socket_beside_libnices)
{
    struct two two = { 0 };
    struct ice_path path;

    begin(&two);
    CHECK(ice_agent_path(two.a.agent, &path));
    CHECK_U64(n_bound(port_of(path.local)), 2);
    CHECK_U64(n_bound(port_of(path.remote)), 2);
    end(&two);
}

/* From 9 bytes on: the link sends none that is shorter. */
TEST(packets_of_all_sizes_arrive_as_they_were_and_in_order)
{
    const size_t mixed[] = { 1200, 1200, 1200, 700,  1200, 9,   9,    9,  1, 1452, 1452,
                             60,   61,   62,   1000, 1000, 999, 1000, 10, 9, 2000 };
    size_t many[200];
    struct two two = { 0 };

    for (size_t i = 0; i < N_ELEMENTS(many); i++)
        many[i] = 1452;
    many[N_ELEMENTS(many) - 1] = 9;
    begin(&two);
    check_arrives(&two, mixed, N_ELEMENTS(mixed));
    check_arrives(&two, many, N_ELEMENTS(many));
    for (size_t first = 1; first <= 130; first++) /* where a batch is cut */
        check_arrives(&two, many + N_ELEMENTS(many) - first, first);
    end(&two);
}

TEST(a_stranger_is_not_heard)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const size_t one[] = { 500 };
    struct two two = { 0 };
    struct ice_path path;
    uint8_t bytes[100] = { 0 };
    int stranger = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    begin(&two);
    CHECK(ice_agent_path(two.b.agent, &path));
    to.sin_port = htons(port_of(path.local));
    for (int i = 0; i < 50; i++)
        CHECK(sendto(stranger, bytes, sizeof(bytes), 0, (struct sockaddr *)&to, sizeof(to)) == 100);
    check_arrives(&two, one, 1); /* alone: what came before it was dropped */
    close(stranger);
    end(&two);
}

/* STUN goes on reaching libnice: without it each would hear nothing of the other one's consent (RFC 7675), and give up after nine seconds. */
TEST(consent_is_still_heard)
{
    gint64 until = g_get_monotonic_time() + 12 * G_USEC_PER_SEC;
    const size_t one[] = { 500 };
    struct two two = { 0 };

    begin(&two);
    while (g_get_monotonic_time() < until && two.a.state == ICE_READY && two.b.state == ICE_READY)
        g_main_context_iteration(two.context, TRUE);
    CHECK(two.a.state == ICE_READY && two.b.state == ICE_READY);
    CHECK_U64(two.b.n, 0);
    check_arrives(&two, one, 1);
    end(&two);
}
