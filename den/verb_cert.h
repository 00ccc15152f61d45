/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs about certificates: what was signed, and what is revoked. They work on the store, whether den runs
 * or not; a den that runs takes up what they write. */
#pragma once

int verb_cert_list(int argc, char **argv);
int verb_cert_show(int argc, char **argv);
int verb_cert_revoke(int argc, char **argv);
int verb_revoke(int argc, char **argv);
