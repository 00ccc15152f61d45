/* SPDX-License-Identifier: Apache-2.0 */
/* Procedures and topics where no network is needed: what is refused before it leaves, bounds, and what comes of a call without a
 * router. */
#include "base/file.h"
#include "base/key.h"
#include "peer.h"
#include "peer/talk.h"
#include "tests/check.h"

#include <poll.h>

#define NOWHERE                                                                                    \
    "warren://127.0.0.1:1/"                                                                        \
    "corp.example#0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct peer *lonely(const char *name)
{
    _free_ char *dir = file_path(check_dir(), name);
    const struct peer_config config = { .size = sizeof(config), .state_dir = dir, .join = NOWHERE };
    struct peer_error error;
    struct peer *peer = peer_new(&config, &error);

    if (!peer)
        check_failed(__FILE__, __LINE__, "%s: %s", error.name, error.text);
    return peer;
}

/* The next event of that type; others are passed over. */
static bool next_of(struct peer *peer, enum peer_event_type type, struct peer_event *ret_event)
{
    struct pollfd fd = { peer_fd(peer), POLLIN, 0 };

    for (;;) {
        while (peer_next_event(peer, ret_event)) {
            if (ret_event->type == type)
                return true;
        }
        if (poll(&fd, 1, 20000) <= 0)
            return false;
    }
}

TEST(names_and_words_that_are_none_are_refused)
{
    static const struct {
        const char *uri, *match, *invoke;
        bool is_fine;
    } cases[] = {
        { "a.b", NULL, NULL, true },
        { "a..b", NULL, NULL, false },
        { "a..b", "wildcard", NULL, true },
        { "a.", "prefix", NULL, true },
        { "", "prefix", NULL, true },
        { "", NULL, NULL, false },
        { "a b", NULL, NULL, false },
        { "a#b", "prefix", NULL, false },
        { "a.\xff", NULL, NULL, false },
        { NULL, NULL, NULL, false },
        { "a.b", "glob", NULL, false },
        { "a.b", "exact", "best", false },
        { "a.b", "exact", "roundrobin", true },
    };
    struct peer *peer = lonely("names");

    for (size_t i = 0; peer && i < N_ELEMENTS(cases); i++) {
        const struct peer_registration_options options = { .size = sizeof(options),
                                                           .match = cases[i].match,
                                                           .invoke = cases[i].invoke };
        struct peer_error error = { 0 };
        struct peer_registration *reg = peer_register(peer, cases[i].uri, &options, &error);
        if ((reg != NULL) != cases[i].is_fine)
            check_failed(__FILE__, __LINE__, "case %zu: %s", i, error.text);
        CHECK_STR(error.name, cases[i].is_fine ? "" : "invalid_argument");
        if (reg)
            peer_unregister(reg);
    }
    peer_free(peer);
}

TEST(values_are_checked_before_they_leave)
{
    static const char deep[64] = "\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91"
                                 "\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91"
                                 "\x91\x91\x91\xc0";
    const struct {
        struct peer_values values;
        const char *error, *text;
    } cases[] = {
        { { "\x90", 1, NULL, 0 }, "", "" },
        { { "\x90", 1, "\x81\xa1k\x01", 4 }, "", "" },
        { { NULL, 0, "\x80", 1 }, "", "" },
        { { "\x80", 1, NULL, 0 }, "invalid_argument", "args: not an array" },
        { { "\x90\x90", 2, NULL, 0 }, "invalid_argument", "args: more than one value" },
        { { "\x91", 1, NULL, 0 }, "invalid_argument", "args: " },
        { { NULL, 5, NULL, 0 }, "invalid_argument", "args: NULL with a size" },
        { { NULL, 0, "\x90", 1 }, "invalid_argument", "kwargs: not a map" },
        { { NULL, 0, "\x81\x01\x01", 3 }, "invalid_argument", "kwargs: " },
        { { deep, 36, NULL, 0 }, "invalid_argument", "args: " },
        { { deep + 3, 33, NULL, 0 }, "invalid_argument", "args: " }, /* 32: too deep in a message */
        { { deep + 4, 32, NULL, 0 }, "", "" },
        { { "\x91\x81\xa1k\xd4\x00\x00", 7, NULL, 0 }, "invalid_argument", "args: " },
        { { NULL, 0, "\x81\xa1k\xd4\x00\x00", 6 }, "invalid_argument", "kwargs: " },
        { { deep, PEER_MAX_VALUES + 1, NULL, 0 }, "too_large", "values: more than" },
        { { deep, SIZE_MAX, deep, 2 }, "too_large", "values: more than" },
    };
    struct peer *peer = lonely("values");

    for (size_t i = 0; peer && i < N_ELEMENTS(cases); i++) {
        struct peer_error error = { 0 };
        struct peer_call *call = peer_call(peer, "a.b", &cases[i].values, NULL, &error);
        CHECK((call != NULL) == (cases[i].error[0] == '\0'));
        CHECK_STR(error.name, cases[i].error);
        if (strncmp(error.text, cases[i].text, strlen(cases[i].text)) != 0)
            check_failed(__FILE__, __LINE__, "case %zu: %s", i, error.text);
    }
    peer_free(peer);
}

TEST(without_a_router_a_call_fails_and_a_publication_is_refused)
{
    struct peer *peer = lonely("alone");
    const struct peer_call_options options = { .size = sizeof(options), .user = &peer };
    const struct peer_publish_options acknowledged = { .size = sizeof(acknowledged),
                                                       .acknowledge = true };
    struct peer_event event;
    struct peer_error error;

    if (!peer)
        return;
    struct peer_call *call = peer_call(peer, "a.b", NULL, &options, &error);
    CHECK(call != NULL);
    peer_call_cancel(call, PEER_CANCEL_KILL);
    if (CHECK(next_of(peer, PEER_EVENT_RESULT, &event))) {
        CHECK(event.call == call && event.user == &peer);
        CHECK_STR(event.error.name, "network_failure");
        CHECK_STR(event.message->uri, "");
    }
    CHECK(!peer_is_online(peer));
    CHECK(!peer_publish(peer, "a.b", NULL, &acknowledged, &error));
    CHECK_STR(error.name, "network_failure");
    CHECK(peer_subscribe(peer, "a.b", NULL, &error) != NULL); /* it stands once there is a router */
    peer_call(peer, "a.b", NULL, NULL, &error);               /* freed with its peer */
    peer_free(peer);
}

TEST(what_waits_is_bounded)
{
    static char big[900 * 1024];
    const struct peer_values values = { big, sizeof(big), NULL, 0 };
    struct peer *peer = lonely("bounds");
    struct peer_error error = { 0 };
    size_t n = 0;

    if (!peer)
        return;
    memcpy(big, "\x91\xc6", 2); /* an array of one binary */
    for (size_t i = 0; i < 4; i++)
        big[2 + i] = (char)((sizeof(big) - 6) >> (8 * (3 - i)));
    while (n < 300 && peer_subscribe(peer, "a.b", NULL, &error))
        n++;
    CHECK_U64(n, 256);
    CHECK_STR(error.name, "limit");
    for (n = 0; n < 2000 && peer_call(peer, "a.b", NULL, NULL, &error);) /* no event is fetched */
        n++;
    CHECK_U64(n, 1024);
    CHECK_STR(error.name, "limit");
    CHECK(!peer_call(peer, "a.b", &values, NULL, &error));
    CHECK_STR(error.name, "limit");
    peer_free(peer);
}

static struct hub_event *message_of(struct talk *talk, size_t n_bytes)
{
    struct hub_event *event = hub_event_new(PEER_EVENT_MESSAGE);

    event->talk = talk_ref(talk);
    if (n_bytes)
        memset(buf_grow(&event->data, n_bytes), 0, n_bytes);
    return event;
}

TEST(messages_that_nobody_fetches_are_bounded_by_number_and_by_size)
{
    struct talk *talk = talk_new(TALK_SUBSCRIPTION, NULL);
    struct hub hub = { 0 };
    struct err err;
    size_t n = 0;

    CHECK_OK(hub_init(&hub, &err), err);
    for (; n < 2 * HUB_MAX_MESSAGES && hub_has_room(&hub, 0); n++)
        hub_put(&hub, message_of(talk, 0));
    CHECK_U64(n, HUB_MAX_MESSAGES);
    CHECK(hub_has_room_for_result(&hub, 100)); /* the last word of a call has its place */
    hub_event_free(hub_take(&hub));
    CHECK(hub_has_room(&hub, HUB_MAX_BYTES));
    CHECK(!hub_has_room(&hub, (size_t)HUB_MAX_BYTES + 1));
    hub_put(&hub, message_of(talk, HUB_MAX_BYTES));
    CHECK(!hub_has_room_for_result(&hub, 1));
    hub_deinit(&hub);
    talk_unref(talk);
}

TEST(how_a_registration_stands_is_told_once_and_newest)
{
    static const struct err stands;
    struct talk *talk = talk_new(TALK_REGISTRATION, NULL);
    struct hub hub = { 0 };
    struct hub_event *event;
    struct err err;

    CHECK_OK(hub_init(&hub, &err), err);
    hub_put_standing(&hub, talk, &stands);
    err_set(&err, ERR_ALREADY_EXISTS, "somebody has it");
    hub_put_standing(&hub, talk, &err);
    event = hub_take(&hub);
    if (CHECK(event != NULL)) {
        CHECK_U64(event->event.type, PEER_EVENT_REGISTRATION);
        CHECK_STR(event->event.error.name, "already_exists");
    }
    hub_event_free(event);
    CHECK(hub_take(&hub) == NULL);
    hub_deinit(&hub);
    talk_unref(talk);
}

TEST(what_is_to_be_sent_is_charged)
{
    struct hub hub = { 0 };
    struct err err;

    CHECK_OK(hub_init(&hub, &err), err);
    CHECK(hub_charge(&hub, HUB_MAX_BYTES_OUT));
    CHECK(!hub_charge(&hub, 1));
    hub_discharge(&hub, 10);
    CHECK(hub_charge(&hub, 10));
    hub_deinit(&hub);
}

TEST(json_and_back)
{
    static const struct {
        const char *json, *back; /* back NULL: refused */
    } cases[] = {
        { "[1, -2, 1.5, null, true]", "[1,-2,1.5,null,true]" },
        { "\"\\u0000AP8=\"", "\"\\u0000AP8=\"" },
        { "{\"a\":{}}", "{\"a\":{}}" },
        { "\"\xe2\x98\x83\"", "\"\xe2\x98\x83\"" },
        { "", NULL },
        { "[1", NULL },
        { "[1] 2", NULL },
        { "{\"__proto__\":1}", NULL },
        { "\"\\ud800\"", NULL },
        { "\"\xff\"", NULL },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct peer_error error = { 0 };
        size_t size = 0;
        _free_ void *bytes =
            peer_msgpack_from_json(cases[i].json, strlen(cases[i].json), &size, &error);
        CHECK((bytes != NULL) == (cases[i].back != NULL));
        if (!bytes) {
            CHECK_STR(error.name, "invalid_argument");
            continue;
        }
        _free_ char *back = peer_json_from_msgpack(bytes, size, &error);
        if (CHECK(back && cases[i].back))
            CHECK_STR(back, cases[i].back);
    }
    CHECK(!peer_json_from_msgpack("\x91", 1, NULL));
}
