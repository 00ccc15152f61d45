/* SPDX-License-Identifier: Apache-2.0 */
#include "router/realms.h"
#include "base/file.h"
#include "tests/check.h"

#include <sys/stat.h>

static bool read_text(const char *text, const char *principals, struct realms **ret_realms,
                      struct err *err)
{
    _free_ char *path = file_path(check_dir(), "realms.conf");
    _free_ char *secrets = file_path(check_dir(), "people");

    return key_init(err) && file_write(path, view_text(text), 0644, err) &&
           file_write(secrets, view_text(principals), 0600, err) &&
           realms_read(path, "corp.example", ret_realms, NULL, err);
}

TEST(the_networks_own_realm_is_always_there)
{
    _cleanup_(realms_freep) struct realms *realms = realms_new("corp.example");
    const struct realm_config *home = realms->item[0];

    CHECK_U64(realms->n, 1);
    CHECK_STR(home->name, "corp.example");
    CHECK(home->profile == REALM_WARREN && home->disclosure == REALM_ALWAYS);
    CHECK(home->has_method[REALM_NETSIGN] && home->has_method[REALM_ANONYMOUS]);
    CHECK(!home->has_method[REALM_TICKET] && !home->has_method[REALM_CRYPTOSIGN]);
    CHECK_STR(home->anonymous_role, "guest");
}

TEST(a_realm_as_it_is_written)
{
    _cleanup_(realms_freep) struct realms *realms = NULL;
    _free_ char *key = file_path(check_dir(), "proof.key");
    const struct realm_config *app;
    const struct principal *joe;
    struct stat st;
    struct err err;

    CHECK_OK(read_text("[realm app.one]\nmethods = ticket anonymous cryptosign wampcra\n"
                       "meta = ops admin\nprincipals = people\nrouter_key = proof.key\n"
                       "[realm corp.example]\nmethods = netsign\n",
                       "[principal joe]\nrole = frontend\nticket = a b c\n"
                       "[principal ann]\nrole = ops\nsecret = s\n",
                       &realms, &err),
             err);
    CHECK_U64(realms->n, 2);
    CHECK(!realms->item[0]->has_method[REALM_ANONYMOUS]);
    app = realms->item[1];
    CHECK_STR(app->name, "app.one");
    CHECK(app->profile == REALM_STANDARD && app->disclosure == REALM_ON_REQUEST);
    CHECK_STR(app->anonymous_role, "anonymous");
    CHECK_U64(app->n_meta, 2);
    CHECK_STR(app->meta[1], "admin");
    CHECK(app->key != NULL);
    CHECK(stat(key, &st) == 0 && (st.st_mode & 0777) == 0600); /* made, and private */
    joe = map_get(app->principals, VIEW_LIT("joe"));
    if (!CHECK(joe))
        return;
    CHECK_STR(joe->role, "frontend");
    CHECK_VIEW(buf_view(&joe->ticket), VIEW_LIT("a b c"));
    CHECK(joe->secret.len == 0 && joe->n_keys == 0);
}

#define PEOPLE "methods = ticket\nprincipals = people\n"
#define KEY    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

TEST(bad_realms_are_refused_by_line)
{
    static const struct {
        const char *text, *people, *why; /* why: what the error ends with */
    } cases[] = {
        { "[realm app]\n", "",
          "realms.conf:1: [realm app]: methods is missing: expected one or more" },
        { "\n[realm app]\nmethods = tls\n", "",
          "realms.conf:2: [realm app]: methods: expected netsign, cryptosign, wampcra, ticket or "
          "anonymous, found \"tls\"" },
        { "[realm app]\nmethods = netsign\n", "",
          "[realm app]: methods: netsign is for the network's own realm" },
        { "[realm corp.example]\nmethods = anonymous\n", "",
          "methods: netsign is how the network's peers come in" },
        { "[realm app]\nprofile = warren\nmethods = anonymous\n", "",
          "profile: warren is that of the network's own realm, and of no other" },
        { "[realm corp.example]\nprofile = standard\n", "",
          "profile: warren is that of the network's own realm, and of no other" },
        { "[realm corp.example]\ndisclosure = never\n", "",
          "disclosure: in the network's own realm, always" },
        { "[realm corp.example]\nanonymous_role = admin\n", "",
          "anonymous_role: in the network's own realm, guest" },
        { "[realm app]\nmethods = ticket\n", "", "principals is missing: ticket needs it" },
        { "[realm app]\nmethods = anonymous\n[realm app]\nmethods = anonymous\n", "",
          "realms.conf:3: [realm app]: given twice" },
        { "[realm a b]\nmethods = anonymous\n", "",
          "[realm a b]: expected a realm's name, a URI of at most 200 bytes" },
        { "[realm corp.example]\nopen = app peer.456000\n", "",
          "open: what is below peer has an owner" },
        { "[realm corp.example]\nopen = wamp\n", "", "open: what is below wamp has an owner" },
        { "[realm corp.example]\nopen = app.\n", "",
          "open: \"app.\" is not a URI of at most 127 bytes" },
        { "[realm wamp.app]\nmethods = anonymous\n", "",
          "names below \"wamp.\" are the protocol's own: take another" },
        { "[realm app]\nmethods = anonymous\nopen = a\n", "",
          "open: in the profile standard all names are open" },
        { "[realm app]\nmethods = anonymous\nmeta = a$b\n", "",
          "meta: expected a role of letters, digits, _ and -, found \"a$b\"" },
        { "[realm app]\n" PEOPLE, "[principal joe]\nrole = x\n",
          "people:1: [principal joe]: expected a ticket, a secret or keys" },
        { "[realm app]\n" PEOPLE, "[principal joe]\nticket = x\n",
          "people:1: role is missing: expected text" },
        { "[realm app]\n" PEOPLE,
          "[principal joe]\nrole = x\nticket = x\n[principal joe]\nrole = x\nticket = y\n",
          "people:4: [principal joe]: given twice" },
        { "[realm app]\n" PEOPLE, "[principal j\"]\nrole = x\nticket = x\n",
          "expected an authid of letters, digits and _-.@, of at most 63 characters" },
        { "[realm app]\n" PEOPLE, "[principal joe]\nrole = x\nkeys = 00ff\n",
          "keys: expected 64 hexadecimal digits each" },
        { "[realm app]\n" PEOPLE,
          "[principal joe]\nrole = x\nkeys = " KEY "\n[principal ann]\nrole = x\nkeys = " KEY "\n",
          "people:4: [principal ann]: keys: key 1 is another principal's too" },
        { "[realm app]\n" PEOPLE, "[principal joe]\nrole = x\nsecret = plain\nsalt = abc\n",
          "secret: with a salt, expected the derived key of keylen bytes as base64" },
        { "[realm corp.example]\nmethods = netsign ticket\nprincipals = people\n",
          "[principal 456000]\nrole = peer\nticket = x\n",
          "IDs and \"den\" are given out by den alone" },
        { "[realm corp.example]\nmethods = netsign ticket\nprincipals = people\n",
          "[principal den]\nrole = peer\nticket = x\n",
          "IDs and \"den\" are given out by den alone" },
        { "[realm corp.example]\nmethods = netsign ticket\nprincipals = people\n",
          "[principal joe]\nrole = den\nticket = x\n",
          "role: expected guest, peer, admin or script, found \"den\"" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct realms *realms = NULL;
        struct err err;
        size_t len = strlen(cases[i].why), got;
        if (!CHECK(!read_text(cases[i].text, cases[i].people, &realms, &err))) {
            realms_free(realms);
            continue;
        }
        CHECK(err.code == ERR_BAD_CONFIG);
        got = strlen(err.text);
        CHECK_STR(got > len ? err.text + got - len : err.text, cases[i].why);
    }
}

TEST(principals_that_others_may_read_are_refused)
{
    _free_ char *secrets = file_path(check_dir(), "people");
    _free_ char *path = file_path(check_dir(), "realms.conf");
    struct realms *realms = NULL;
    struct err err;

    CHECK_OK(
        read_text("[realm app]\n" PEOPLE, "[principal joe]\nrole = x\nticket = y\n", &realms, &err),
        err);
    realms_free(realms);
    CHECK(chmod(secrets, 0644) == 0);
    CHECK_ERR(realms_read(path, "corp.example", &realms, NULL, &err), err, ERR_BAD_CONFIG);
    CHECK(strstr(err.text, "mode 0644 lets others at it; chmod 0600 it") != NULL);
}
