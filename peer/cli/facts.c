/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine rests on, as JSON: so that anybody can check it with OpenSSL and an Ed25519 library. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* The bytes of one base64 digit; -1 for anything else. */
static int digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* One PEM block's DER as hexadecimal text; returns where the block ends. */
static const char *put_der(FILE *out, const char *block)
{
    const char *at = strchr(block, '\n'), *end = strstr(block, "-----END ");
    unsigned long bits = 0;
    int n_bits = 0;

    fputc('"', out);
    for (; at && end && at < end; at++) {
        int value = digit(*at);
        if (value < 0)
            continue;
        bits = (bits << 6 | (unsigned long)value) & 0xffffff;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            fprintf(out, "%02lx", bits >> n_bits & 0xff);
        }
    }
    fputc('"', out);
    return end ? end : block + strlen(block);
}

static char *read_pem(const struct peer *peer, size_t (*get)(const struct peer *, char *, size_t))
{
    size_t size = get(peer, NULL, 0);
    char *pem = calloc(size + 1, 1);

    if (!pem)
        abort();
    get(peer, pem, size + 1);
    return pem;
}

static void put_self(FILE *out, const struct peer *peer)
{
    struct peer_identity identity;
    char *pem = read_pem(peer, peer_chain_pem);
    const char *block = strstr(pem, "-----BEGIN ");
    const char *before = "";

    if (!peer_identity(peer, &identity))
        memset(&identity, 0, sizeof(identity));
    fprintf(out, "\"self\": {\"id\": ");
    cli_json_text(out, identity.id);
    fprintf(out, ", \"identity_pk\": ");
    cli_json_text(out, identity.public_key);
    fprintf(out, ",\n  \"certificate\": ");
    block = block ? strstr(put_der(out, block), "-----BEGIN ") : NULL;
    fprintf(out, ",\n  \"chain\": [");
    for (; block; before = ", ") {
        fprintf(out, "%s", before);
        block = strstr(put_der(out, block), "-----BEGIN ");
    }
    fprintf(out, "],\n  \"chain_pem\": ");
    cli_json_text(out, pem);
    fprintf(out, "}");
    free(pem);
}

static void put_manifest(FILE *out, const struct peer *peer)
{
    size_t size = peer_manifest(peer, NULL, 0);
    struct peer_manifest_signature *s = calloc(1, sizeof(*s));
    unsigned char *bytes = calloc(size + 1, 1);

    if (!s || !bytes)
        abort();
    peer_manifest(peer, bytes, size);
    fprintf(out, ",\n \"manifest\": {\"bytes\": ");
    cli_json_hex(out, bytes, size);
    fprintf(out, ",\n  \"signatures\": [");
    for (size_t i = 0; peer_manifest_signature(peer, i, s); i++) {
        fprintf(out, "%s", i ? ", " : "");
        cli_json_hex(out, s->signature, s->signature_size);
    }
    fprintf(out, "],\n  \"signers\": [");
    for (size_t i = 0; peer_manifest_signature(peer, i, s); i++) {
        fprintf(out, "%s", i ? ", " : "");
        cli_json_text(out, s->signer_pem);
    }
    fprintf(out, "]}");
    free(bytes);
    free(s);
}

void cli_json_network(FILE *out, const struct peer *peer)
{
    char *root = read_pem(peer, peer_root_pem);

    put_self(out, peer);
    fprintf(out, ",\n \"root\": ");
    cli_json_text(out, root);
    put_manifest(out, peer);
    free(root);
}
