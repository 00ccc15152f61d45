/* SPDX-License-Identifier: Apache-2.0 */
#include "router/stun.h"
#include "base/key.h"
#include "base/own.h"

#include <stun/stunagent.h>

/* RFC 5780, 7. libnice has no names for these. */
enum { RESPONSE_PORT = 0x0027, RESPONSE_ORIGIN = 0x802b };
enum { CHANGE_IP = 4, CHANGE_PORT = 2 };
/* What may be reflected to whom is remembered in so many tallies: networks whose hashes meet share one. */
enum { TALLIES = 4096, THOUSAND = 1000 };

struct tally {
    uint64_t tokens, at; /* a thousandth of an answer each; of when */
};

struct stun {
    struct stun_limits limits;
    StunAgent plain, marked; /* of requests without FINGERPRINT, and with */
    StunAgent classic;       /* of those without the magic cookie */
    uint8_t salt[16];        /* nobody outside can tell whose hashes meet */
    struct tally total, tallies[TALLIES];
};

/* Comprehension-required attributes that are understood, or that mean nothing to a server that asks for no
 * credentials. */
static const uint16_t known[] = {
    STUN_ATTRIBUTE_CHANGE_REQUEST,
    RESPONSE_PORT,
    STUN_ATTRIBUTE_USERNAME,
    STUN_ATTRIBUTE_MESSAGE_INTEGRITY,
    STUN_ATTRIBUTE_PRIORITY,
    STUN_ATTRIBUTE_USE_CANDIDATE,
    STUN_ATTRIBUTE_MAPPED_ADDRESS,
    STUN_ATTRIBUTE_REALM,
    STUN_ATTRIBUTE_XOR_MAPPED_ADDRESS,
    STUN_ATTRIBUTE_NONCE,
    0,
};

struct stun *stun_new(const struct stun_limits *limits)
{
    struct stun *stun = mem_new(struct stun);

    stun->limits = *limits;
    stun_agent_init(&stun->plain, known, STUN_COMPATIBILITY_RFC5389,
                    STUN_AGENT_USAGE_IGNORE_CREDENTIALS);
    stun_agent_init(&stun->marked, known, STUN_COMPATIBILITY_RFC5389,
                    STUN_AGENT_USAGE_IGNORE_CREDENTIALS | STUN_AGENT_USAGE_USE_FINGERPRINT);
    stun_agent_init(&stun->classic, known, STUN_COMPATIBILITY_RFC3489,
                    STUN_AGENT_USAGE_IGNORE_CREDENTIALS);
    random_bytes(stun->salt, sizeof(stun->salt));
    return stun;
}

void stun_free(struct stun *stun)
{
    free(stun);
}

void stun_set_limits(struct stun *stun, const struct stun_limits *limits)
{
    stun->limits = *limits;
}

/* ---- limits ---------------------------------------------------------------------------------- */

/* A second's worth may come at once. */
static bool take(struct tally *tally, uint64_t per_second, uint64_t now)
{
    uint64_t full = per_second * THOUSAND, passed = now - tally->at;

    if (per_second == 0)
        return true;
    tally->tokens = passed >= THOUSAND || tally->tokens + passed * per_second > full
                        ? full
                        : tally->tokens + passed * per_second;
    tally->at = now;
    if (tally->tokens < THOUSAND)
        return false;
    tally->tokens -= THOUSAND;
    return true;
}

static struct tally *tally_of(struct stun *stun, const union stun_address *from)
{
    uint8_t key[sizeof(stun->salt) + 7] = { 0 }, hash[HASH_SIZE];

    memcpy(key, stun->salt, sizeof(stun->salt));
    key[sizeof(stun->salt)] = (uint8_t)from->any.sa_family;
    if (from->any.sa_family == AF_INET)
        memcpy(key + sizeof(stun->salt) + 1, &from->in.sin_addr, 3);
    else
        memcpy(key + sizeof(stun->salt) + 1, &from->in6.sin6_addr, 6);
    hash_sha256(VIEW_ARR(key), hash);
    return &stun->tallies[(hash[0] | (unsigned)hash[1] << 8) % TALLIES];
}

/* `at` 0 is the past of a tally that nobody used: it is full then, unless the clock is in its first second. */
static bool may_answer(struct stun *stun, const union stun_address *from, uint64_t now)
{
    return take(tally_of(stun, from), stun->limits.per_network, now) &&
           take(&stun->total, stun->limits.total, now);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void normalise(union stun_address *address)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = address->in6.sin6_port };

    if (address->any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&address->in6.sin6_addr))
        return;
    memcpy(&in.sin_addr, address->in6.sin6_addr.s6_addr + 12, 4);
    address->in = in;
}

static in_port_t *port_of(union stun_address *address)
{
    return address->any.sa_family == AF_INET ? &address->in.sin_port : &address->in6.sin6_port;
}

static socklen_t size_of(const union stun_address *address)
{
    return address->any.sa_family == AF_INET ? sizeof(address->in) : sizeof(address->in6);
}

static bool is_good(StunValidationStatus status)
{
    return status == STUN_VALIDATION_SUCCESS || status == STUN_VALIDATION_UNKNOWN_REQUEST_ATTRIBUTE;
}

static bool has_cookie(struct view packet)
{
    static const uint8_t cookie[] = { 0x21, 0x12, 0xa4, 0x42 };

    return memcmp(packet.data + 4, cookie, sizeof(cookie)) == 0;
}

/* The agent for it, once it is sure to be a request; NULL: it is something else. */
static StunAgent *open_request(struct stun *stun, struct view packet, StunMessage *ret_message,
                               StunValidationStatus *ret_status)
{
    StunAgent *agent;

    if (packet.len > STUN_MAX_REQUEST || packet.len < 20 || packet.len % 4)
        return NULL;
    agent = has_cookie(packet) ? &stun->plain : &stun->classic;
    *ret_status = stun_agent_validate(agent, ret_message, packet.data, packet.len, NULL, NULL);
    if (!is_good(*ret_status))
        return NULL;
    if (stun_message_get_class(ret_message) != STUN_REQUEST ||
        stun_message_get_method(ret_message) != STUN_BINDING)
        return NULL;
    if (agent == &stun->classic ||
        !stun_message_has_attribute(ret_message, STUN_ATTRIBUTE_FINGERPRINT))
        return agent;
    agent = &stun->marked;
    *ret_status = stun_agent_validate(agent, ret_message, packet.data, packet.len, NULL, NULL);
    return is_good(*ret_status) ? agent : NULL;
}

struct wishes {
    uint32_t change;
    uint16_t port; /* network order; 0: none */
};

static bool read_wishes(const StunMessage *message, struct wishes *ret)
{
    struct wishes wishes = { 0 };
    const uint8_t *port;
    uint16_t len;

    if (stun_message_has_attribute(message, STUN_ATTRIBUTE_CHANGE_REQUEST) &&
        stun_message_find32(message, STUN_ATTRIBUTE_CHANGE_REQUEST, &wishes.change) !=
            STUN_MESSAGE_RETURN_SUCCESS)
        return false;
    port = stun_message_find(message, (StunAttribute)RESPONSE_PORT, &len);
    if (port && len != 4 && len != 2)
        return false;
    if (port)
        memcpy(&wishes.port, port, sizeof(wishes.port));
    *ret = wishes;
    return true;
}

/* RFC 8489, 6.3.1: it demands what this server does not have. */
static size_t refuse_unknown(StunAgent *agent, const StunMessage *request,
                             struct stun_answer *answer)
{
    StunMessage message;

    return stun_agent_build_unknown_attributes_error(agent, &message, answer->bytes,
                                                     sizeof(answer->bytes), request);
}

/* RFC 5780, 6.1: another address, where there is but one. */
static size_t refuse_change(StunAgent *agent, const StunMessage *request,
                            struct stun_answer *answer)
{
    static const uint8_t attribute[] = { 0, STUN_ATTRIBUTE_CHANGE_REQUEST };
    StunMessage message;

    if (!stun_agent_init_error(agent, &message, answer->bytes, sizeof(answer->bytes), request,
                               STUN_ERROR_UNKNOWN_ATTRIBUTE) ||
        stun_message_append_bytes(&message, STUN_ATTRIBUTE_UNKNOWN_ATTRIBUTES, attribute,
                                  sizeof(attribute)) != STUN_MESSAGE_RETURN_SUCCESS)
        return 0;
    return stun_agent_finish_message(agent, &message, NULL, 0);
}

/* RFC 3489 has the addresses in the clear; libnice 0.1.21 asks in its words. */
static bool put_classic(StunMessage *message, const union stun_address *seen,
                        const union stun_address *at)
{
    return stun_message_append_addr(message, STUN_ATTRIBUTE_MAPPED_ADDRESS, &seen->any,
                                    size_of(seen)) == STUN_MESSAGE_RETURN_SUCCESS &&
           stun_message_append_addr(message, STUN_ATTRIBUTE_SOURCE_ADDRESS, &at->any,
                                    size_of(at)) == STUN_MESSAGE_RETURN_SUCCESS;
}

static bool put_addresses(StunMessage *message, const union stun_address *seen,
                          const union stun_address *at)
{
    struct sockaddr_storage storage = { 0 };

    memcpy(&storage, seen, sizeof(*seen));
    return stun_message_append_xor_addr(message, STUN_ATTRIBUTE_XOR_MAPPED_ADDRESS, &storage,
                                        size_of(seen)) == STUN_MESSAGE_RETURN_SUCCESS &&
           stun_message_append_addr(message, (StunAttribute)RESPONSE_ORIGIN, &at->any,
                                    size_of(at)) == STUN_MESSAGE_RETURN_SUCCESS;
}

static size_t write_answer(StunAgent *agent, const StunMessage *request,
                           const union stun_address *seen, const union stun_address *at,
                           struct stun_answer *answer)
{
    bool is_classic = agent->compatibility == STUN_COMPATIBILITY_RFC3489;
    StunMessage message;

    if (!stun_agent_init_response(agent, &message, answer->bytes, sizeof(answer->bytes), request) ||
        !(is_classic ? put_classic(&message, seen, at) : put_addresses(&message, seen, at)))
        return 0;
    return stun_agent_finish_message(agent, &message, NULL, 0);
}

static bool is_ip(const union stun_address *address)
{
    return address->any.sa_family == AF_INET || address->any.sa_family == AF_INET6;
}

static enum stun_outcome answer_request(StunAgent *agent, const StunMessage *message,
                                        const struct stun_request *request, bool is_unknown,
                                        struct stun_answer *answer)
{
    union stun_address from = request->from, at = request->at;
    struct wishes wishes;

    normalise(&from);
    normalise(&at);
    if (is_unknown) {
        answer->len = refuse_unknown(agent, message, answer);
        return answer->len ? STUN_REFUSED : STUN_DROPPED;
    }
    if (!read_wishes(message, &wishes))
        return STUN_DROPPED;
    if (wishes.change & CHANGE_IP || (wishes.change & CHANGE_PORT && !request->other_port)) {
        answer->len = refuse_change(agent, message, answer);
        return answer->len ? STUN_REFUSED : STUN_DROPPED;
    }
    answer->from_other_port = wishes.change & CHANGE_PORT;
    if (answer->from_other_port)
        *port_of(&at) = htons(request->other_port);
    if (wishes.port)
        *port_of(&answer->to) = wishes.port;
    answer->len = write_answer(agent, message, &from, &at, answer);
    return answer->len ? STUN_ANSWERED : STUN_DROPPED;
}

enum stun_outcome stun_serve(struct stun *stun, const struct stun_request *request, uint64_t now,
                             struct stun_answer *ret_answer)
{
    struct stun_answer answer = { .to = request->from };
    union stun_address from = request->from;
    StunValidationStatus status;
    enum stun_outcome outcome;
    StunMessage message;
    StunAgent *agent;

    if (!is_ip(&request->from) || !is_ip(&request->at) || *port_of(&from) == 0)
        return STUN_DROPPED;
    agent = open_request(stun, request->packet, &message, &status);
    if (!agent)
        return STUN_DROPPED;
    normalise(&from);
    if (!may_answer(stun, &from, now))
        return STUN_TOO_MANY;
    outcome = answer_request(agent, &message, request,
                             status == STUN_VALIDATION_UNKNOWN_REQUEST_ATTRIBUTE, &answer);
    if (outcome == STUN_ANSWERED || outcome == STUN_REFUSED)
        *ret_answer = answer;
    return outcome;
}
