/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ws_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

static bool full_key(const struct sockaddr_storage *from, uint8_t ret_key[16])
{
    if (from->ss_family == AF_INET) {
        memcpy(ret_key, mapped, sizeof(mapped));
        memcpy(ret_key + sizeof(mapped), &((const struct sockaddr_in *)from)->sin_addr, 4);
        return true;
    }
    if (from->ss_family != AF_INET6)
        return false;
    memcpy(ret_key, &((const struct sockaddr_in6 *)from)->sin6_addr, 16);
    return true;
}

bool rpc_ws_address_key(const struct sockaddr_storage *from, uint8_t ret_key[16])
{
    if (!full_key(from, ret_key))
        return false;
    if (memcmp(ret_key, mapped, sizeof(mapped)) != 0)
        memset(ret_key + 8, 0, 8);
    return true;
}

bool rpc_ws_address_of(int fd, struct sockaddr_storage *ret_from, uint8_t ret_key[16])
{
    socklen_t len = sizeof(*ret_from);

    return getpeername(fd, (struct sockaddr *)ret_from, &len) == 0 &&
           rpc_ws_address_key(ret_from, ret_key);
}

void rpc_ws_address_text(const struct sockaddr_storage *from, char ret_text[RPC_WS_ADDRESS_TEXT])
{
    uint8_t key[16];
    const char *text = NULL;

    if (full_key(from, key)) {
        bool is_v4 = memcmp(key, mapped, sizeof(mapped)) == 0;
        text = inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? key + sizeof(mapped) : key, ret_text,
                         RPC_WS_ADDRESS_TEXT);
    }
    if (!text)
        memcpy(ret_text, "?", 2);
}

bool rpc_ws_address_read(const char *text, struct sockaddr_storage *ret_address)
{
    struct sockaddr_storage address = { 0 };
    struct sockaddr_in *v4 = (void *)&address;
    struct sockaddr_in6 *v6 = (void *)&address;
    char trimmed[RPC_WS_ADDRESS_TEXT] = "";
    size_t len;

    text += strspn(text, " \t");
    len = strcspn(text, " \t");
    if (len >= sizeof(trimmed) || text[len + strspn(text + len, " \t")])
        return false;
    memcpy(trimmed, text, len);
    if (inet_pton(AF_INET, trimmed, &v4->sin_addr) == 1)
        address.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, trimmed, &v6->sin6_addr) == 1)
        address.ss_family = AF_INET6;
    else
        return false;
    *ret_address = address;
    return true;
}
