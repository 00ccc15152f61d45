/* SPDX-License-Identifier: Apache-2.0 */
/* What other people's verifiers say of our certificates: openssl's and GnuTLS's commands. They know
 * no other time than now. */
#include "base/clock.h"
#include "tests/unit/pki/bad_certs.h"
#include "tests/unit/pki/net.h"

#include <stdio.h>
#include <sys/wait.h>

static void put_file(const char *name, const char *label, const struct view *ders, size_t n)
{
    _free_ char *path = mem_format("%s/%s", check_dir(), name);
    FILE *file = fopen(path, "w");
    _buf_ pem = { 0 };

    for (size_t i = 0; i < n; i++)
        pki_pem_put(&pem, label, ders[i]);
    CHECK(file && fwrite(pem.data, 1, pem.len, file) == pem.len);
    if (file)
        fclose(file);
}

static bool is_installed(const char *program)
{
    _free_ char *command = mem_format("command -v %s >/dev/null 2>&1", program);

    return system(command) == 0;
}

/* Runs in the test's folder; whether it ended well. Its output goes to the test's, as comments. */
static bool run(const char *command)
{
    _free_ char *whole =
        mem_format("cd '%s' && { %s; } >out 2>&1; code=$?; sed 's/^/# /' out; exit $code",
                   check_dir(), command);
    int status;

    fflush(stdout);
    status = system(whole);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* root.pem, intermediate.pem, leaf.pem, chain.pem, and a list. */
static bool put_files(const struct net *net, const struct pki_cert *leaf, struct err *err)
{
    struct view chain[] = { pki_cert_der(leaf), pki_cert_der(pki_ca_cert(net->intermediate)),
                            pki_cert_der(pki_ca_cert(net->root)) };
    struct pki_revoked revoked = { VIEW_LIT("\x11\x22\x33\x44\x55\x66\x77\x88\x99"), net->now, 1 };
    _buf_ list = { 0 };
    struct view der;

    if (!pki_ca_issue_crl(net->intermediate, 1, net->now, net->now + DAY_MS, &revoked, 1, &list,
                          err))
        return false;
    der = buf_view(&list);
    put_file("leaf.pem", "CERTIFICATE", chain, 1);
    put_file("intermediate.pem", "CERTIFICATE", chain + 1, 1);
    put_file("root.pem", "CERTIFICATE", chain + 2, 1);
    put_file("chain.pem", "CERTIFICATE", chain, 3);
    put_file("list.pem", "X509 CRL", &der, 1);
    return true;
}

static bool openssl_verifies(const char *name)
{
    static const char *const purposes[] = { "sslserver", "sslclient" };

    for (size_t i = 0; i < N_ELEMENTS(purposes); i++) {
        _free_ char *command =
            mem_format("openssl verify -x509_strict -auth_level 2 -purpose %s -crl_check "
                       "-CRLfile list.pem -verify_hostname %s "
                       "-CAfile root.pem -untrusted intermediate.pem leaf.pem",
                       purposes[i], name);
        if (!run(command))
            return false;
    }
    return true;
}

static bool certtool_verifies(const char *name)
{
    static const char *const purposes[] = { "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2" };

    for (size_t i = 0; i < N_ELEMENTS(purposes); i++) {
        _free_ char *command =
            mem_format("certtool --verify --verify-profile high --verify-hostname %s "
                       "--verify-purpose %s "
                       "--load-ca-certificate root.pem --infile chain.pem",
                       name, purposes[i]);
        if (!run(command))
            return false;
    }
    return true;
}

/* A fresh database that trusts the root for both sides; -u: 1 server, 0 client. */
static bool vfychain_verifies(_unused_ const char *name)
{
    return run("rm -rf nss && mkdir nss && certutil -N -d sql:nss --empty-password && "
               "certutil -A -d sql:nss -n root -t CT,, -a -i root.pem && "
               "vfychain -pp -d sql:nss -u 1 -a leaf.pem -a intermediate.pem && "
               "vfychain -pp -d sql:nss -u 0 -a leaf.pem -a intermediate.pem");
}

struct verifier {
    const char *program, *package;
    bool (*verifies)(const char *name);
    bool asks_no_name; /* it has no option for that */
};
static const struct verifier openssl = { "openssl", "openssl", openssl_verifies };
static const struct verifier certtool = { "certtool", "gnutls-bin", certtool_verifies };
static const struct verifier vfychain = { "vfychain", "libnss3-tools", vfychain_verifies, true };

static void skip(const struct verifier *verifier)
{
    _free_ char *why =
        mem_format("%s is not installed (package %s)", verifier->program, verifier->package);

    check_skip(why);
}

/* Leaves of our CA, and a rogue one, signed by the real intermediate for a name outside. */
static void check_verifier(const struct verifier *verifier)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    _cleanup_(pki_cert_freep) struct pki_cert *peer = NULL, *router = NULL, *rogue = NULL;
    _cleanup_(bad_cert_deinit) struct bad_cert bad = { 0 };
    struct err err = { 0 };
    size_t row = 0;

    if (!is_installed(verifier->program)) {
        skip(verifier);
        return;
    }
    CHECK_OK(net_init_at(&net, clock_wall_ms(), &err), err);
    CHECK_OK(net_issue(&net, PKI_PEER, "456000", NULL, &peer, &err), err);
    CHECK_OK(put_files(&net, peer, &err), err);
    CHECK(verifier->verifies("456000.corp.example"));
    CHECK(verifier->asks_no_name || !verifier->verifies("111111.corp.example"));

    CHECK_OK(net_issue(&net, PKI_ROUTER, "router", NULL, &router, &err), err);
    CHECK_OK(put_files(&net, router, &err), err);
    CHECK(verifier->verifies("router.corp.example"));

    while (strcmp(bad_certs_name(row), "outside_the_constraint") != 0)
        row++;
    struct bad_net where = { "456000", NET_NAME, net.root, net.intermediate, net.now };
    CHECK_OK(bad_certs_make(row, &where, &bad, &err), err);
    CHECK_OK(pki_cert_read(buf_view(&bad.chain[0]), &rogue, &err), err);
    CHECK_OK(put_files(&net, rogue, &err), err);
    CHECK(!verifier->verifies("456000.else.example"));
}

TEST(openssl_takes_what_we_issue_and_refuses_what_is_outside)
{
    check_verifier(&openssl);
}

TEST(gnutls_takes_what_we_issue_and_refuses_what_is_outside)
{
    check_verifier(&certtool);
}

TEST(nss_takes_what_we_issue_and_refuses_what_is_outside)
{
    check_verifier(&vfychain);
}

TEST(openssl_reads_our_requests_keys_and_lists)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    _cleanup_(pki_cert_freep) struct pki_cert *leaf = NULL;
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;
    struct err err = { 0 };
    _buf_ csr = { 0 }, pem = { 0 };

    if (!is_installed(openssl.program)) {
        skip(&openssl);
        return;
    }
    CHECK_OK(net_init_at(&net, clock_wall_ms(), &err), err);
    CHECK_OK(net_issue(&net, PKI_PEER, "456000", &key, &leaf, &err), err);
    CHECK_OK(put_files(&net, leaf, &err), err);
    CHECK_OK(pki_csr_new(key, &csr, &err), err);
    struct view der = buf_view(&csr);
    put_file("csr.pem", "CERTIFICATE REQUEST", &der, 1);
    CHECK_OK(pki_key_write(key, VIEW_LIT("correct horse"), &pem, &err), err);
    _free_ char *path = mem_format("%s/key.pem", check_dir());
    FILE *file = fopen(path, "w");
    CHECK(file && fwrite(pem.data, 1, pem.len, file) == pem.len);
    if (file)
        fclose(file);
    CHECK(run("openssl req -in csr.pem -verify -noout"));
    CHECK(run("openssl crl -in list.pem -CAfile intermediate.pem -noout"));
    CHECK(run("openssl pkey -in key.pem -passin 'pass:correct horse' -noout -check"));
    CHECK(!run("openssl pkey -in key.pem -passin pass:wrong -noout"));
}
