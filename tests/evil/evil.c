/* SPDX-License-Identifier: Apache-2.0 */
/* A peer that lies. It is enrolled like any other, and reaches behind libpeer's public header to show the other side
 * what libpeer would never show. Prints how it was refused ("refused: CODE: CAUSE"), and exits with 0 exactly when it was.
 *
 *     evil self_signed --state DIR [--other DIR2] ID    dials with its own ID and key, but a self-signed certificate
 *     evil wrong_id --state DIR --other DIR2 ID         dials as DIR's ID, and shows the valid certificate of DIR2's
 *     evil denied --state DIR [--other DIR2] ID         dials somebody whom policy denies to it
 *     evil bad_ice --state DIR ID                       is linked, and describes another try at a path as nobody can read it
 *     evil many_ice --state DIR ID                      is linked, and begins two hundred tries at once: the link is to stand ("stands") */
#include "base/own.h"
#include "peer/session.h"
#include "peer/include/peer.h"
#include "tests/evil/thread.h"

#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>

enum { PATIENCE_MS = 50000, STAND_MS = 4000 };

static int fail(const char *what, const struct peer_error *error)
{
    fprintf(stderr, "evil: %s: %s: %s\n", what, error ? error->name : "-",
            error ? error->text : "-");
    return 2;
}

/* ---- the lies ---- */

struct shown { /* what links show instead of the truth */
    struct buf chain[PKI_MAX_CHAIN], key_der;
    size_t n_chain;
};

static void copy_certificate(struct core *core, void *user)
{
    struct shown *shown = user;

    for (size_t i = 0; i < core->cert->n_chain; i++)
        shown->chain[i] = buf_dup(buf_view(&core->cert->chain[i]));
    shown->n_chain = core->cert->n_chain;
    shown->key_der = buf_dup(buf_view(&core->cert->key_der));
}

/* The dial still names the key of the real certificate, or den would not even ask the other side. */
static void show_lie(struct core *core, void *user)
{
    struct shown *shown = user;

    for (size_t i = 0; i < core->cert->n_chain; i++)
        buf_free(&core->cert->chain[i]);
    for (size_t i = 0; i < shown->n_chain; i++)
        core->cert->chain[i] = buf_dup(buf_view(&shown->chain[i]));
    core->cert->n_chain = shown->n_chain;
    buf_wipe(&core->cert->key_der);
    core->cert->key_der = buf_dup(buf_view(&shown->key_der));
}

static void add_extension(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
}

/* The same name, the same key, all the extensions of the real one; only the signature is not the network's. */
static void sign_self(struct core *core, void *user)
{
    struct shown *shown = user;
    const uint8_t *key_der = core->cert->key_der.data;
    EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &key_der, (long)core->cert->key_der.len);
    X509 *x = X509_new();
    char san[300];
    uint8_t *der = NULL;
    int len;

    snprintf(san, sizeof(san), "DNS:%s.%s", core->id, core->join.network);
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 4711);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const uint8_t *)core->id, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_gmtime_adj(X509_getm_notBefore(x), -300);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_set_pubkey(x, key);
    add_extension(x, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(x, NID_key_usage, "critical,digitalSignature");
    add_extension(x, NID_ext_key_usage, "serverAuth,clientAuth");
    add_extension(x, NID_subject_alt_name, san);
    X509_sign(x, key, EVP_sha256());
    len = i2d_X509(x, &der);
    buf_put(&shown->chain[0], VIEW(der, (size_t)len));
    shown->n_chain = 1;
    shown->key_der = buf_dup(buf_view(&core->cert->key_der));
    OPENSSL_free(der);
    X509_free(x);
    EVP_PKEY_free(key);
}

/* ---- lies inside a link ---- */

enum { TRIES = 200 };

static struct session *only_session(struct core *core)
{
    return list_is_empty(&core->sessions) ? NULL
                                          : LIST_ITEM(core->sessions.next, struct session, node);
}

static void say_bad_ice(struct core *core, void *user)
{
    struct session *session = only_session(core);

    (void)user;
    if (session && session->link)
        link_send_ice(session->link, clock_mono_ns(), 1,
                      view_text("ice-ufrag:abcd\nice-pwd:short\n"));
}

static void say_many_ice(struct core *core, void *user)
{
    static const char text[] = "ice-ufrag:abcd\nice-pwd:0123456789abcdefghijkl\n"
                               "candidate:1 1 UDP 2130706431 127.0.0.1 9 typ host\n";
    struct session *session = only_session(core);

    (void)user;
    for (uint64_t i = 1; session && session->link && i <= TRIES; i++)
        link_send_ice(session->link, clock_mono_ns(), i, view_text(text));
}

/* ---- the peer ---- */

/* Waits for one of the wanted types; false when the time is over. */
static bool wait_event(struct peer *peer, uint32_t wanted, struct peer_event *ret_event)
{
    uint64_t until = clock_mono_ms() + PATIENCE_MS;

    for (;;) {
        struct pollfd fd = { peer_fd(peer), POLLIN, 0 };
        uint64_t now = clock_mono_ms();
        if (now >= until)
            return false;
        poll(&fd, 1, (int)(until - now));
        while (peer_next_event(peer, ret_event)) {
            if (wanted & 1u << ret_event->type)
                return true;
        }
    }
}

static struct peer *start(const char *state_dir)
{
    struct peer_config config = { .size = sizeof(config),
                                  .state_dir = state_dir,
                                  .allow_loopback = true };
    struct peer_error error = { "timeout", "not joined in time", "" };
    struct peer *peer = peer_new(&config, &error);
    struct peer_event event;

    if (peer && wait_event(peer, 1u << PEER_EVENT_JOINED | 1u << PEER_EVENT_FAILED, &event)) {
        if (event.type == PEER_EVENT_JOINED)
            return peer;
        error = event.error;
    }
    fail(state_dir, &error);
    peer_free(peer);
    return NULL;
}

/* What an end says to `lie` over a link that is up: it closes it, or all goes on for a while. */
static int lie_inside(struct peer *peer, const char *lie)
{
    bool is_many = strcmp(lie, "many_ice") == 0;
    uint64_t until = clock_mono_ms() + STAND_MS;
    struct peer_event event;

    on_thread(peer, is_many ? say_many_ice : say_bad_ice, NULL);
    while (is_many && clock_mono_ms() < until) {
        poll(NULL, 0, 50);
        while (peer_next_event(peer, &event)) {
            if (event.type == PEER_EVENT_LINK_DOWN) {
                printf("ended: %s: %s\n", event.error.name, event.error.text);
                return 1;
            }
        }
    }
    if (is_many) {
        printf("stands\n");
        return 0;
    }
    if (!wait_event(peer, 1u << PEER_EVENT_LINK_DOWN, &event))
        return fail("it was taken", NULL);
    printf("refused: %s: %s\n", event.error.name, event.error.text);
    return 0;
}

/* Dials and tells how it ended; a link that comes up is the failure, unless the lie is to be told inside it. */
static int dial(struct peer *peer, const char *lie, const char *id)
{
    struct peer_error error;
    struct peer_event event;

    if (!peer_dial(peer, id, (const char *const[]){ "chat", NULL }, &error))
        return fail("dial", &error);
    if (!wait_event(peer,
                    1u << PEER_EVENT_LINK_UP | 1u << PEER_EVENT_LINK_DOWN | 1u << PEER_EVENT_FAILED,
                    &event))
        return fail("nothing happened", NULL);
    if (event.type == PEER_EVENT_LINK_UP && strstr(lie, "_ice"))
        return lie_inside(peer, lie);
    if (event.type == PEER_EVENT_LINK_UP || event.error.name[0] == '\0') {
        printf("NOT refused\n");
        return 1;
    }
    printf("refused: %s: %s\n", event.error.name, event.error.text);
    return 0;
}

static bool take_other(const char *dir, struct shown *shown)
{
    struct peer *other = dir ? start(dir) : NULL;

    if (!other)
        return false;
    on_thread(other, copy_certificate, shown);
    peer_free(other);
    return true;
}

int main(int argc, char **argv)
{
    const char *lie = argc > 1 ? argv[1] : "", *state = NULL, *other = NULL, *id = NULL;
    struct shown shown = { 0 };
    struct peer *peer;
    int status;

    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--state") == 0 && i + 1 < argc)
            state = argv[++i];
        else if (strcmp(argv[i], "--other") == 0 && i + 1 < argc)
            other = argv[++i];
        else
            id = argv[i];
    }
    if (!state || !id) {
        fprintf(stderr, "usage: evil self_signed|wrong_id|denied|bad_ice|many_ice --state DIR "
                        "[--other DIR] ID\n");
        return 2;
    }
    if (strcmp(lie, "wrong_id") == 0 && !take_other(other, &shown))
        return 2;
    peer = start(state);
    if (!peer)
        return 2;
    if (strcmp(lie, "self_signed") == 0)
        on_thread(peer, sign_self, &shown);
    if (shown.n_chain)
        on_thread(peer, show_lie, &shown);
    status = dial(peer, lie, id);
    peer_free(peer);
    for (size_t i = 0; i < shown.n_chain; i++)
        buf_free(&shown.chain[i]);
    buf_wipe(&shown.key_der);
    return status;
}
