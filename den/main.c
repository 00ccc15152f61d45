/* SPDX-License-Identifier: Apache-2.0 */
/* warren-den: the verbs. warren-den(8). */
#include "base/clock.h"
#include "base/conf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "den/keys.h"
#include "den/args.h"
#include "den/audit.h"
#include "den/den.h"
#include "den/folder.h"
#include "den/init.h"
#include "den/passphrase.h"
#include "den/router_add.h"
#include "den/split.h"
#include "den/verb.h"
#include "den/verb_cert.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

enum { DONE = VERB_DONE, FAILED = VERB_FAILED, MISUSED = VERB_MISUSED };

static int fail(const struct err *err)
{
    return verb_fail(err);
}

static int misuse(const struct err *err)
{
    return verb_misuse(err);
}

static bool load_config(const char *path, struct den_config *config)
{
    return verb_load_config(path, config);
}

static bool read_fd(const char *text, int *ret_fd, struct err *err)
{
    uint64_t n;

    if (!text) {
        *ret_fd = PASSPHRASE_PROMPT;
        return true;
    }
    if (!text_read_u64(view_text(text), &n) || n > 65535)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "--root-passphrase-fd: expected the number of an open file");
    *ret_fd = (int)n;
    return true;
}

/* ---- verbs ------------------------------------------------------------------------------------- */

/* Which words go together. */
static bool check_init(const struct init_order *order, const char *fd, struct err *err)
{
    bool is_begun = order->root_response;

    if (order->root_request && is_begun)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "--root-request comes first, --root-response when the root has answered");
    if ((order->root_request || is_begun) && (order->root_key || fd))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "--root-key and --root-passphrase-fd are for root sign, on the root's "
                       "machine: its key never comes here");
    if (is_begun && (order->intermediate_key || order->token_paths))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "--intermediate-key and --token-paths were said with --root-request");
    if (order->root_request && order->answer_path)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "--answer goes with --root-response: there is no answer for the router "
                       "before");
    if (!is_begun && (!order->network || !order->request_path))
        return err_set(err, ERR_INVALID_ARGUMENT, "--%s is missing",
                       order->network ? "router-request" : "network");
    return true;
}

static int verb_init(int argc, char **argv)
{
    static const char *const alone_names[] = { "DIR" };
    struct init_order order = { .now = clock_wall_ms() };
    const char *fd = NULL;
    const struct args_option options[] = {
        { "root-key", &order.root_key, false },
        { "intermediate-key", &order.intermediate_key, false },
        { "token-paths", &order.token_paths, false },
        { "pin-fd", &order.pin_fd, false },
        { "network", &order.network, false },
        { "router-request", &order.request_path, false },
        { "root-request", &order.root_request, false },
        { "root-response", &order.root_response, false },
        { "root-passphrase-fd", &fd, false },
        { "answer", &order.answer_path, false },
    };
    _buf_ text = { 0 };
    struct err err;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), alone_names, &order.dir, 1, &err) ||
        !read_fd(fd, &order.passphrase_fd, &err) || !check_init(&order, fd, &err))
        return misuse(&err);
    log_open("warren-den", LOG_WARN);
    if (!init_network(&order, &text, &err))
        return fail(&err);
    printf("%s", buf_cstr(&text));
    return DONE;
}

static int verb_run(int argc, char **argv)
{
    _cleanup_(config_deinit) struct den_config config = { 0 };
    const char *path = NULL, *fd = NULL, *pin_fd = NULL;
    bool accepts_rollback = false, accepts_no_list = false;
    const struct args_option options[] = { { "config", &path, true },
                                           { "passphrase-fd", &fd, false },
                                           { "pin-fd", &pin_fd, false },
                                           { "accept-rollback", .flag = &accepts_rollback },
                                           { "without-list", .flag = &accepts_no_list } };
    _buf_wipe_ passphrase = { 0 };
    _buf_wipe_ pin = { 0 };
    struct err err;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), NULL, NULL, 0, &err))
        return misuse(&err);
    if (!load_config(path, &config))
        return FAILED;
    den_set_up_log(&config);
    if (!config_check_folder(config.state, &err) ||
        !keys_ask(config.state, fd, &passphrase, &err) ||
        !keys_ask_pin(config.state, pin_fd, &pin, &err))
        return fail(&err);
    config.passphrase = &passphrase;
    config.pin = &pin;
    config.accepts_no_list = accepts_no_list;
    return den_run(path, &config, accepts_rollback, &err) ? DONE : fail(&err);
}

static int verb_router_add(int argc, char **argv)
{
    static const char *const alone_names[] = { "FILE" };
    _cleanup_(config_deinit) struct den_config config = { 0 };
    struct router_add_order order = { .config = &config, .now = clock_wall_ms() };
    const char *fd = NULL;
    const struct args_option options[] = {
        { "config", &order.config_path, true },
        { "answer", &order.answer_path, false },
        { "root-key", &order.root_key_path, false },
        { "root-passphrase-fd", &fd, false },
        { "passphrase-fd", &order.keys_fd, false },
        { "pin-fd", &order.pin_fd, false },
        { "signer-folder", &order.signer_dir, false },
        { "request", &order.root_request_path, false },
        { "response", &order.root_response_path, false },
    };
    _buf_ text = { 0 };
    struct err err;

    order.ret_text = &text;
    if (!args_read(argc, argv, options, N_ELEMENTS(options), alone_names, &order.request_path, 1,
                   &err) ||
        !read_fd(fd, &order.passphrase_fd, &err))
        return misuse(&err);
    if (!order.answer_path && !order.root_request_path) {
        err_set(&err, ERR_INVALID_ARGUMENT, "--answer is missing");
        return misuse(&err);
    }
    if (!load_config(order.config_path, &config))
        return FAILED;
    log_open("warren-den", LOG_WARN);
    if (!router_add(&order, &err))
        return fail(&err);
    printf("%s", buf_cstr(&text));
    if (!order.root_request_path)
        printf("%s: the router takes it with: warren-router accept ROUTER-DIR %s\n",
               order.answer_path, order.answer_path);
    return DONE;
}

static int verb_signer_split(int argc, char **argv)
{
    static const char *const alone_names[] = { "DIR" };
    _cleanup_(config_deinit) struct den_config config = { 0 };
    struct split_order order = { .config = &config,
                                 .socket = "/run/warren-den-signer/socket",
                                 .now = clock_wall_ms() };
    const struct args_option options[] = {
        { "config", &order.config_path, true },
        { "user", &order.user, false },
        { "socket", &order.socket, false },
    };
    struct err err;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), alone_names, &order.dir, 1, &err))
        return misuse(&err);
    if (!load_config(order.config_path, &config))
        return FAILED;
    log_open("warren-den", LOG_WARN);
    if (!split_signer(&order, &err))
        return fail(&err);
    const struct audit_pair pairs[] = { AUDIT_TEXT("folder", order.dir),
                                        AUDIT_TEXT("socket", order.socket) };
    if (!verb_note(&config, "keys.moved", pairs, N_ELEMENTS(pairs), &err))
        return fail(&err);
    printf(
        "%s has the keys now, and %s says signer = %s; where systemd does not start the signer:\n"
        "  warren-den-signer run --folder %s --socket %s --peer USER-OF-DEN\n",
        order.dir, order.config_path, order.socket, order.dir, order.socket);
    return DONE;
}

static int verb_version(_unused_ int argc, _unused_ char **argv)
{
    printf("warren-den " WARREN_VERSION "\n");
    return DONE;
}

static int verb_help(int argc, char **argv);

/* ---- finding them --------------------------------------------------------------------------------- */

#define ROOT_OPTIONS                                                                               \
    "[--root-key FILE|URI] [--root-passphrase-fd N] [--request FILE | --response FILE]"

static const struct verb {
    const char *first, *second; /* NULL: one word */
    int (*run)(int argc, char **argv);
    const char *words, *help;
} verbs[] = {
    { "init", NULL, verb_init,
      "DIR --network NAME --router-request FILE [--root-passphrase-fd N] [--answer FILE] "
      "[--root-key URI | --root-request FILE, then --root-response FILE] [--intermediate-key URI "
      "[--token-paths PATHS] [--pin-fd N]]",
      "makes a network: root, intermediate, den's keys, manifest, configuration" },
    { "passphrase", NULL, verb_passphrase,
      "--config FILE [--remove] [--passphrase-fd N] [--new-passphrase-fd N]",
      "keeps den's keys under a passphrase, or another one, or none" },
    { "run", NULL, verb_run,
      "--config FILE [--passphrase-fd N] [--pin-fd N] [--accept-rollback [--without-list]]",
      "runs den in the foreground, logging to standard error; from a database that was taken back "
      "to "
      "an older state only when told to" },
    { "token", "new", verb_token_add, NULL, NULL },
    { "token", "add", verb_token_add,
      "--config FILE [--uses N|any] [--expires DURATION|never] [--role peer|admin] [--groups A,B] "
      "[--label TEXT] [--ephemeral DURATION] [--device-life DURATION] [--needs-approval] "
      "[--out FILE]",
      "prints a join string with a new enrolment token" },
    { "token", "list", verb_token_list, "--config FILE [--json]",
      "lists tokens: how long they can be used, and how long what joins with them lives" },
    { "token", "revoke", verb_token_revoke, "TOKEN --config FILE",
      "nobody joins with it any more; who has joined stays" },
    { "waiting", "list", verb_waiting_list, "--config FILE [--json]",
      "lists machines that wait for approval, with the code that they show" },
    { "approve", NULL, verb_approve, "CODE|ID --config FILE [--role peer|admin] [--groups A,B]",
      "lets a waiting machine in; keeps a provisional ID" },
    { "deny", NULL, verb_deny, "CODE --config FILE", "turns a waiting machine away" },
    { "peer", "list", verb_peer_list, "--config FILE [--json]", "lists every ID" },
    { "peer", "groups", verb_peer_groups, "ID GROUPS --config FILE",
      "sets the groups of an ID, for policy.yaml; \"\" for none" },
    { "peer", "remove", verb_peer_remove, "ID --config FILE",
      "admits it no more; its ID stays its own" },
    { "peer", "re-enrol", verb_peer_re_enrol,
      "ID --config FILE [--expires DURATION] [--device-life DURATION] [--out FILE]",
      "prints a join string that gives this ID a new key" },
    { "name", "list", verb_name_list, "--config FILE [--json]", "lists every name" },
    { "name", "assign", verb_name_assign, "USER@DOMAIN ID --config FILE",
      "assigns a reserved name" },
    { "name", "free", verb_name_free, "NAME --config FILE", "takes a name away" },
    { "router", "add", verb_router_add,
      "FILE --config FILE --answer FILE [--passphrase-fd N] [--pin-fd N] " ROOT_OPTIONS,
      "answers a router's request, with a new manifest where it needs one" },
    { "router", "remove", verb_router_remove, "KEY --config FILE [--anyway] " ROOT_OPTIONS,
      "nobody believes that router any more; rollover status lists the keys" },
    { "signer", "split", verb_signer_split, "DIR --config FILE [--user NAME] [--socket PATH]",
      "moves the keys to a folder that den cannot read: warren-den-signer(8)" },
    { "rollover", "stage", verb_rollover_stage,
      "--config FILE [--what intermediate|root|den-sign|den-login] " ROOT_OPTIONS,
      "a new one beside the one in use" },
    { "rollover", "switch", verb_rollover_switch, "--config FILE " ROOT_OPTIONS,
      "den uses the new one" },
    { "rollover", "retire", verb_rollover_retire, "--config FILE [--anyway] " ROOT_OPTIONS,
      "the old one is accepted no more" },
    { "rollover", "back", verb_rollover_back, "--config FILE " ROOT_OPTIONS,
      "undoes switch, or stage" },
    { "rollover", "replace", verb_rollover_replace,
      "--config FILE [--what ...] [--reason WORD] " ROOT_OPTIONS,
      "the old one is out at once, a new one in: for a key that was stolen" },
    { "rollover", "renew", verb_rollover_renew, "--config FILE " ROOT_OPTIONS,
      "the same manifest for another 400 days" },
    { "rollover", "status", verb_rollover_status, "--config FILE [--unheard] [--json]",
      "where it is, and how many machines have acknowledged the newest manifest" },
    { "root", "sign", verb_root_sign,
      "REQUEST --root-key FILE|URI -o RESPONSE [--root-passphrase-fd N] [--new-root-key FILE|URI] "
      "[--new-root-passphrase-fd N] [--record FILE] [--yes]",
      "on the root's machine: shows what a request asks for, and signs it" },
    { "policy", "check", verb_policy_check, "FILE [--json]",
      "says all that is wrong with a policy.yaml, its own tests included" },
    { "policy", "test", verb_policy_test, "[FILE] [--config FILE] [--json]",
      "the same for the file that den reads" },
    { "policy", "list", verb_policy_list, "--config FILE [--json]",
      "the policies that are, and were, in force" },
    { "policy", "show", verb_policy_show, "[N] --config FILE [--json]", "prints one of them" },
    { "policy", "diff", verb_policy_diff, "[A [B]] --config FILE [--at TIME] [--json]",
      "what is different, rule by rule, and what is decided otherwise; A and B are numbers or "
      "files" },
    { "policy", "why", verb_policy_why, "ID ID CAPABILITY --config FILE [--at TIME] [--json]",
      "names the rule and line that decides, or decided then" },
    { "policy", "replay", verb_policy_replay, "FILE --config FILE [--since TIME] [--json]",
      "which sessions of the audit a file would have decided otherwise" },
    { "cert", "list", verb_cert_list,
      "--config FILE [--id ID] [--serial HEX] [--state valid|expired|revoked|unsigned]"
      " [--expires-before WHEN] [--json]",
      "lists everything that was ever signed" },
    { "cert", "show", verb_cert_show, "SERIAL --config FILE [--pem]", "prints one certificate" },
    { "cert", "revoke", verb_cert_revoke, "SERIAL --config FILE [--reason WORD]",
      "revokes one certificate" },
    { "revoke", NULL, verb_revoke,
      "--config FILE --id ID | --serial HEX | --key HEX [--reason WORD]",
      "revokes an identity with all its certificates, a certificate, or a key" },
    { "check-config", NULL, verb_check_config, "--config FILE",
      "checks den.conf, policy and folder as a whole; writes nothing" },
    { "--check-config", NULL, verb_check_config, NULL, NULL },
    { "status", NULL, verb_status, "--config FILE [--json]", "how the den at work is: one screen" },
    { "session", "list", verb_session_list, "--config FILE [--open] [--json]",
      "lists sessions, present and past, the newest first" },
    { "session", "close", verb_session_close, "SID --config FILE [--reason TEXT]",
      "ends a session at both its ends" },
    { "ask", NULL, verb_ask, "PROCEDURE BODY --config FILE [--json]",
      "any administrative procedure of the den at work, for scripts: JSON in, JSON out" },
    { "audit", "list", verb_audit_list, "--config FILE [--from N] [--json]",
      "prints the audit, a JSON object a line" },
    { "audit", "export", verb_audit_export,
      "--config FILE [--from N] [--since WHEN] [--until WHEN] [--json]",
      "the same for programs and archives; `audit check` verifies what it prints" },
    { "audit", "verify", verb_audit_verify, "--config FILE [--witness N:HEAD] [--json]",
      "checks the whole chain; names the first bad entry" },
    { "audit", "check", verb_audit_check, "FILE [--after N:HEAD] [--witness N:HEAD]",
      "checks an export; names the first bad line" },
    { "backup", NULL, verb_backup, "FILE --config FILE --encrypt | --plain [--passphrase-fd N]",
      "copies all of den into one file, beside a den that runs; private keys only under a "
      "passphrase" },
    { "restore", NULL, verb_restore, "FILE DIR [--replace] [--passphrase-fd N]",
      "brings den back from a backup into a new folder, or replaces the database of a folder" },
    { "help", NULL, verb_help, "", "this, and the keys of den.conf" },
    { "--help", NULL, verb_help, NULL, NULL },
    { "version", NULL, verb_version, "", "prints the version" },
    { "--version", NULL, verb_version, NULL, NULL },
};

static int verb_help(_unused_ int argc, _unused_ char **argv)
{
    _buf_ text = { 0 };

    buf_put_text(
        &text,
        "warren-den: the authority of a Warren network (IDs, certificates, policy, audit)\n\n");
    for (size_t i = 0; i < N_ELEMENTS(verbs); i++) {
        if (verbs[i].help)
            buf_printf(&text, "  warren-den %s%s%s%s%s\n      %s\n", verbs[i].first,
                       verbs[i].second ? " " : "", verbs[i].second ? verbs[i].second : "",
                       *verbs[i].words ? " " : "", verbs[i].words, verbs[i].help);
    }
    buf_put_text(&text, "\nKeys of den.conf:\n");
    config_help(&text);
    printf("%s", buf_cstr(&text));
    return DONE;
}

static const struct verb *find_verb(int argc, char **argv)
{
    for (size_t i = 0; i < N_ELEMENTS(verbs); i++) {
        if (argc < 2 || strcmp(argv[1], verbs[i].first) != 0)
            continue;
        if (!verbs[i].second || (argc > 2 && strcmp(argv[2], verbs[i].second) == 0))
            return &verbs[i];
    }
    return NULL;
}

int main(int argc, char **argv)
{
    const struct verb *verb = find_verb(argc, argv);
    int used = verb && verb->second ? 3 : 2;
    struct err err;

    file_hold_standard();
    file_forbid_dumps();
    umask(077);
    if (!key_init(&err))
        return fail(&err);
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--json") == 0)
            verb_speak_json();
    if (!verb) {
        err_set(&err, ERR_INVALID_ARGUMENT, "expected a verb, found \"%.64s%s%.64s\"",
                argc < 2 ? "" : argv[1], argc < 3 ? "" : " ", argc < 3 ? "" : argv[2]);
        return misuse(&err);
    }
    int status = verb->run(argc - used, argv + used);
    if (fflush(stdout) != 0 && status == DONE) {
        err_errno(&err, "standard output");
        return fail(&err);
    }
    return status;
}
