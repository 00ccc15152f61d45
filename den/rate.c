/* SPDX-License-Identifier: Apache-2.0 */
#include "den/rate.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <string.h>

enum { MAX_IDS = 100000, MAX_SOURCES = 65536, V4_NETWORK = 3, V6_NETWORK = 6, V4_AT = 12 };

static const struct bucket_rule defaults[N_RATES] = {
    [RATE_REQUEST] = { .burst = 200, .every = 100, .max_keys = MAX_IDS },
    [RATE_REFRESH] = { .burst = 5, .every = 10 * MINUTE_MS, .max_keys = MAX_IDS },
    [RATE_ADMIT] = { .burst = 20, .every = 10 * SECOND_MS, .max_keys = MAX_IDS },
    [RATE_WAITING] = { .burst = 20, .every = 2 * SECOND_MS, .max_keys = MAX_SOURCES },
    [RATE_SOURCE] = { .burst = 600, .every = 100, .max_keys = MAX_SOURCES },
    [RATE_ENROL] = { .burst = 60, .every = SECOND_MS, .max_keys = MAX_SOURCES },
    [RATE_CSR] = { .burst = 5, .every = 10 * MINUTE_MS, .max_keys = MAX_IDS },
    [RATE_DIAL] = { .burst = 60, .every = SECOND_MS, .max_keys = MAX_IDS },
    [RATE_MISS] = { .burst = 5, .every = 12 * SECOND_MS, .max_keys = MAX_IDS },
    [RATE_MISS_NEAR] = { .burst = 30, .every = 2 * SECOND_MS, .max_keys = MAX_SOURCES },
    [RATE_REVOKED] = { .burst = 200, .every = 500, .max_keys = MAX_IDS },
    [RATE_NAME] = { .burst = 20, .every = MINUTE_MS, .max_keys = MAX_IDS },
    [RATE_CLONE] = { .burst = 5, .every = 10 * MINUTE_MS, .max_keys = MAX_IDS },
    [RATE_OCSP] = { .burst = 500, .every = 20, .max_keys = MAX_SOURCES },
    [RATE_PATH] = { .burst = 60, .every = 5 * SECOND_MS, .max_keys = MAX_IDS },
    [RATE_TURN] = { .burst = 5, .every = 20 * SECOND_MS, .max_keys = MAX_IDS },
    [RATE_TIME] = { .burst = 30, .every = SECOND_MS, .max_keys = MAX_IDS },
    [RATE_AUDIT] = { .burst = 10, .every = 5 * SECOND_MS, .max_keys = MAX_IDS },
    [RATE_AUDIT_ALL] = { .burst = 200, .every = 250, .max_keys = 1 },
    [RATE_DENIED] = { .burst = 200, .every = 10 * SECOND_MS, .max_keys = MAX_IDS },
    [RATE_ACTS] = { .burst = 20000, .every = 100, .max_keys = 1 },
    [RATE_DENIED_ALL] = { .burst = 2000, .every = SECOND_MS, .max_keys = 1 },
    [RATE_LOG] = { .burst = 20, .every = 3 * SECOND_MS, .max_keys = MAX_IDS },
};

void rate_defaults(struct bucket_rule ret_rules[N_RATES])
{
    memcpy(ret_rules, defaults, sizeof(defaults));
}

void rate_per_minute(uint64_t n, struct bucket_rule *ret_rule)
{
    ret_rule->burst = n > 1 ? n / 2 : n;
    ret_rule->every = n > 1 ? MINUTE_MS / (n - n / 2) : MINUTE_MS;
}

/* The address alone: "[2001:db8::7]:443" and "192.0.2.7:443" lose their ports. */
static void copy_address(struct view text, char to[INET6_ADDRSTRLEN])
{
    const uint8_t *end;

    if (text.len && text.data[0] == '[') {
        text = view_sub(text, 1, text.len);
        end = memchr(text.data, ']', text.len);
    } else {
        end = text.len ? memchr(text.data, ':', text.len) : NULL;
        if (end && memchr(end + 1, ':', text.len - (size_t)(end + 1 - text.data)))
            end = NULL; /* two colons: IPv6 */
    }
    text = view_sub(text, 0, end ? (size_t)(end - text.data) : text.len);
    text = view_sub(text, 0, INET6_ADDRSTRLEN - 1);
    if (text.len)
        memcpy(to, text.data, text.len);
    to[text.len] = '\0';
}

static struct view make_key(char kind, const uint8_t *bytes, size_t n, uint8_t to[RATE_KEY])
{
    to[0] = (uint8_t)kind;
    memcpy(to + 1, bytes, n);
    return VIEW(to, n + 1);
}

struct view rate_source(struct view address, uint8_t to[RATE_KEY])
{
    static const uint8_t mapped[V4_AT] = { [10] = 0xff, [11] = 0xff };
    char text[INET6_ADDRSTRLEN];
    uint8_t bytes[16];

    copy_address(address, text);
    if (inet_pton(AF_INET, text, bytes) == 1)
        return make_key('4', bytes, V4_NETWORK, to);
    if (inet_pton(AF_INET6, text, bytes) != 1)
        return make_key('?', bytes, 0, to);
    if (memcmp(bytes, mapped, V4_AT) == 0) /* else all of IPv4 were one source */
        return make_key('4', bytes + V4_AT, V4_NETWORK, to);
    return make_key('6', bytes, V6_NETWORK, to);
}
