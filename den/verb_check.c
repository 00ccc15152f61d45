/* SPDX-License-Identifier: Apache-2.0 */
/* warren-den check-config: everything that would keep den from starting, at once, without writing anything. */
#include "base/clock.h"
#include "base/file.h"
#include "den/args.h"
#include "den/folder.h"
#include "den/keyring.h"
#include "den/policy.h"
#include "den/store.h"
#include "den/verb.h"
#include "vault/token.h"
#include "vault/vault.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned say(const struct err *err)
{
    fprintf(stderr, "%s\n", err->text);
    return 1;
}

static unsigned check_policy(const struct den_config *config)
{
    _cleanup_(policy_freep) struct policy *policy = NULL;
    _buf_ text = { 0 }, all = { 0 };
    struct err err;

    if (policy_read(config->policy, &policy, &text, &all, &err))
        return 0;
    if (!all.len)
        return say(&err);
    fprintf(stderr, "%s", buf_cstr(&all));
    return 1;
}

static unsigned check_turn(const char *path, const struct den_config *config)
{
    _buf_ all = { 0 };

    if (config_check_turn(path, config, &all))
        return 0;
    fprintf(stderr, "%s", buf_cstr(&all));
    return 1;
}

/* Its first bytes: opening it may write. */
static unsigned check_store(const struct den_config *config)
{
    static const char magic[16] = "SQLite format 3";
    _free_ char *path = file_path(config->state, "den.db");
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char bytes[sizeof(magic)];
    bool is_read = fd >= 0 && read(fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes);
    struct err err;

    if (fd >= 0)
        close(fd);
    if (is_read && memcmp(bytes, magic, sizeof(magic)) == 0)
        return 0;
    if (!file_exists(path))
        err_set(&err, ERR_NOT_FOUND, "%s: there is none: `warren-den init` makes it", path);
    else
        err_set(&err, ERR_BAD_CONFIG,
                "%s: is no database of den's: put it back from a backup (warren-den(8), RESTORING)",
                path);
    return say(&err);
}

/* What the signer works with: without a passphrase or a PIN, as far as none is needed. */
static unsigned check_signers(const struct den_config *config, const struct rpc_trust *trust)
{
    const struct rpc_manifest *m = rpc_trust_manifest(trust);
    _cleanup_(vault_keys_deinit) struct vault_keys keys = { 0 };
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    _free_ char *key_path = NULL;
    _buf_ uri = { 0 };
    struct err err;

    if (m->intermediates.n && !vault_find_cert(config->state, "intermediate",
                                               m->intermediates.item[0], &cert, &key_path, &err))
        return say(&err);
    if (key_path && !file_exists(key_path)) {
        err_set(&err, ERR_NOT_FOUND,
                "%s: there is none: put it back from a backup, or `warren-den rollover replace "
                "--what intermediate`",
                key_path);
        return say(&err);
    }
    if ((key_path && token_file_say(key_path, &uri)) ||
        vault_keys_read(config->state, &(struct vault_secrets){ 0 }, &keys, &err) ||
        err.code == ERR_LOCKED)
        return 0;
    return say(&err);
}

static unsigned check_keys(const struct den_config *config, const struct rpc_trust *trust)
{
    _cleanup_(keyring_deinit) struct keyring keys = { 0 };
    unsigned n_bad = 0;
    struct err err;

    if (!keyring_load(config, trust, 0, NULL, &keys, &err) && err.code != ERR_LOCKED)
        n_bad += say(&err);
    return n_bad + (config->signer && *config->signer ? 0 : check_signers(config, trust));
}

/* It may be started later than den; root.pem is for others. */
static void doubt_folder(const struct den_config *config)
{
    enum { MAX_PEM = 64 * 1024 };
    _cleanup_(pki_cert_freep) struct pki_cert *root = NULL;
    _free_ char *path = file_path(config->state, "root.pem");
    _buf_ pem = { 0 };
    struct stat st;
    struct err err;

    if (config->signer && *config->signer &&
        (stat(config->signer, &st) != 0 || !S_ISSOCK(st.st_mode)))
        fprintf(stderr,
                "warning: signer: %s: no socket is there: den waits for warren-den-signer, and "
                "signs nothing before\n",
                config->signer);
    if (file_exists(path) &&
        (!file_read(path, MAX_PEM, &pem, &err) || !pki_cert_read_pem(buf_view(&pem), &root, &err)))
        fprintf(stderr, "warning: %s: holds no certificate: %s\n", path, err.text);
}

static unsigned check_folder(const struct den_config *config)
{
    _cleanup_(rpc_trust_freep) struct rpc_trust *trust = NULL;
    bool is_private;
    unsigned n_bad = 0;
    struct err err;

    is_private = config_check_secrets(config, &err);
    if (!is_private)
        n_bad += say(&err);
    if (config->network && !folder_load_trust(config, &trust, &err))
        n_bad += say(&err);
    if (is_private && trust)
        n_bad += check_keys(config, trust);
    doubt_folder(config);
    return n_bad + check_store(config);
}

int verb_check_config(int argc, char **argv)
{
    _cleanup_(config_deinit) struct den_config config = { 0 };
    const char *path = NULL;
    const struct args_option options[] = { { "config", &path, true } };
    _buf_ all = { 0 }, doubts = { 0 };
    unsigned n_bad = 0;
    struct err err;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), NULL, NULL, 0, &err))
        return verb_misuse(&err);
    if (!config_read(path, &config, &all, &err)) {
        fprintf(stderr, "%s", all.len ? buf_cstr(&all) : err.text);
        fprintf(stderr, "%s", all.len ? "" : "\n");
        n_bad++;
    }
    if (config.state && !verb_enter(path, &config, &err)) {
        say(&err);
        return VERB_FAILED;
    }
    if (config.policy)
        n_bad += check_policy(&config);
    n_bad += check_turn(path, &config);
    if (config.state)
        n_bad += check_folder(&config);
    config_doubts(path, &config, &doubts);
    fprintf(stderr, "%s", buf_cstr(&doubts));
    if (n_bad)
        return VERB_FAILED;
    printf("%s: good\n", path);
    return VERB_DONE;
}
