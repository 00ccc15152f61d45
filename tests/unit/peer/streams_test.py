#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""libpeer's links, streams and datagrams between two peers in one process, on a real network."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "system"))
import network  # noqa: E402
import tap  # noqa: E402

SCENARIOS = {
    "bulk": "eight_mebibytes_there_and_back",
    "many": "forty_streams_at_once",
    "deaf": "a_side_that_does_not_read_stops_the_other_and_loses_nothing",
    "reset": "a_reset_reaches_the_other_side",
    "datagrams": "datagrams_go_both_ways",
    "capabilities": "streams_are_opened_within_the_session_only",
    "again": "links_come_and_go",
    "sockets": "a_stream_as_a_descriptor_at_both_ends",
    "closed_sockets": "a_descriptor_that_is_closed_ends_its_stream",
    "short_string": "two_people_read_the_same_four_characters",
    "messages": "messages_arrive_whole",
    "marks": "the_high_mark_bounds_what_waits",
    "farewell": "what_has_arrived_can_be_read",
}
THREADS = {
    "small": "little_and_often_by_two_threads_of_applications",
    "ends": "links_and_streams_end_under_a_writer",
    "leaves": "an_application_leaves_in_the_middle_of_its_writing",
    "forks": "a_child_disturbs_its_parent_in_nothing",
}


def make(program, scenario, name):
    def run(net):
        if not net.ids:
            net.join("alice")
            net.join("bob")
            net.allow(f"allow from {net.ids['alice']} to {net.ids['bob']} can chat,file back echo")
        network.run([program, scenario, net.path("alice"), net.path("bob")])
    run.__name__ = name
    return run


for key, title in SCENARIOS.items():
    tap.test(make(sys.argv[1], key, title))
for key, title in THREADS.items():
    tap.test(make(sys.argv[2], key, title))

if __name__ == "__main__":
    tap.main()
