/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
/* The rows of bad_certs.c, which defines X and includes this: identifier, code, part of the text,
 * what is bent. No #pragma once: it is included twice. */

/* names */
X(certificate_of_another_peer, NAME_MISMATCH, "the certificate is for 111111.",
  p->leaf.cn = "111111"; p->leaf.san = "DNS:111111.@N")
X(cn_and_san_apart, BAD_CERTIFICATE, "the common name \"CN=111111\"", p->leaf.cn = "111111")
X(san_and_cn_apart, NAME_MISMATCH, "is for 111111.", p->leaf.san = "DNS:111111.@N")
X(cn_is_the_whole_name, BAD_CERTIFICATE, "the common name", p->leaf.cn = "@I.@N")
X(two_common_names, BAD_CERTIFICATE, "the subject", p->leaf.cn2 = "@I")
X(organisation_in_subject, BAD_CERTIFICATE, "the subject", p->leaf.o = "Example")
X(no_san, BAD_CERTIFICATE, "subjectAltName", p->leaf.san = NULL)
X(second_san_of_another_peer, BAD_CERTIFICATE, "subjectAltName",
  p->leaf.san = "DNS:@I.@N,DNS:111111.@N")
X(second_san_first, BAD_CERTIFICATE, "subjectAltName", p->leaf.san = "DNS:111111.@N,DNS:@I.@N")
X(same_san_twice, BAD_CERTIFICATE, "subjectAltName", p->leaf.san = "DNS:@I.@N,DNS:@I.@N")
X(san_extension_twice, BAD_CERTIFICATE, "there twice", p->leaf.san2 = "DNS:111111.@N")
X(ip_san, BAD_CERTIFICATE, "name constraints", p->leaf.san = "DNS:@I.@N,IP:127.0.0.1")
X(ip6_san, BAD_CERTIFICATE, "name constraints", p->leaf.san = "DNS:@I.@N,IP:::1")
X(uri_san, BAD_CERTIFICATE, "subjectAltName", p->leaf.san = "DNS:@I.@N,URI:https://@I.@N/")
X(email_san, BAD_CERTIFICATE, "subjectAltName", p->leaf.san = "DNS:@I.@N,email:a@@@N")
X(other_name_san, BAD_CERTIFICATE, "subjectAltName",
  p->leaf.san = "DNS:@I.@N,otherName:1.2.3.4;UTF8:@I")
X(registered_id_san, BAD_CERTIFICATE, "subjectAltName", p->leaf.san = "DNS:@I.@N,RID:1.2.3.4")
X(wildcard, NAME_MISMATCH, "is for *.", p->leaf.san = "DNS:*.@N")
X(upper_case_name, NAME_MISMATCH, "is for @I.@U", p->leaf.san = "DNS:@I.@U")
X(name_with_final_dot, BAD_CERTIFICATE, "name constraints", p->leaf.san = "DNS:@I.@N.")
X(name_below_the_name, NAME_MISMATCH, "is for x.@I.@N", p->leaf.san = "DNS:x.@I.@N")
X(the_network_itself, NAME_MISMATCH, "is for @N", p->leaf.san = "DNS:@N")
X(bare_id_as_san, BAD_CERTIFICATE, "name constraints", p->leaf.san = "DNS:@I")
X(outside_the_constraint, BAD_CERTIFICATE, "name constraints", p->leaf.san = "DNS:@I.else.example")
X(suffix_without_dot, BAD_CERTIFICATE, "name constraints", p->leaf.san = "DNS:@Ix@N")
X(critical_san_beside_subject, BAD_CERTIFICATE, "marks its subjectAltName critical",
  p->leaf.san = "critical,DNS:@I.@N")
X(empty_subject_plain_san, BAD_CERTIFICATE, "Subject empty", p->leaf.cn = NULL)

/* time */
X(expired_leaf, EXPIRED, "the certificate expired 2 days ago",
  p->leaf.from = -3 * DAY; p->leaf.to = -2 * DAY)
X(leaf_not_yet_valid, EXPIRED, "the certificate is not yet valid",
  p->leaf.from = HOUR; p->leaf.to = DAY)
X(expired_intermediate, EXPIRED, "the intermediate expired",
  p->own_middle = true; p->middle.from = -9 * DAY; p->middle.to = -DAY)
X(intermediate_not_yet_valid, EXPIRED, "the intermediate is not yet valid",
  p->own_middle = true; p->middle.from = HOUR)
X(expired_root, EXPIRED, "the root expired",
  p->own_root = p->own_middle = true; p->root.from = -9 * DAY; p->root.to = -DAY)
X(root_not_yet_valid, EXPIRED, "the root is not yet valid",
  p->own_root = p->own_middle = true; p->root.from = HOUR)
X(lives_too_long, BAD_CERTIFICATE, "lives for 8 days, at most 7 days",
  p->leaf.from = 0; p->leaf.to = 8 * DAY)
X(outlives_its_issuer, BAD_CERTIFICATE, "outlives its issuer",
  p->own_middle = true; p->middle.to = HOUR)
X(ends_before_it_begins, EXPIRED, "is not yet valid", p->leaf.from = HOUR; p->leaf.to = -HOUR)
X(generalized_time_before_2050, BAD_CERTIFICATE, "times", p->leaf.has_general_time = true)

/* who signed it */
X(forged_signature, BAD_CERTIFICATE, "is not signed by", p->is_forged = true)
X(flipped_bit, BAD_CERTIFICATE, "is not signed by", p->has_flipped_bit = true)
X(self_signed, BAD_CERTIFICATE, "is self-signed", p->is_self_signed = true)
X(issued_by_the_root, BAD_CERTIFICATE, "the chain has 2 certificates", p->is_by_root = true)
X(root_of_another_network, BAD_CERTIFICATE, "is not listed by the manifest",
  p->own_root = p->own_middle = p->is_root_unlisted = p->is_middle_unlisted = true)
X(unlisted_root_listed_intermediate, BAD_CERTIFICATE, "is not issued by a CA of this network",
  p->own_root = p->own_middle = p->is_root_unlisted = true)
X(unlisted_intermediate, BAD_CERTIFICATE, "is not listed by the manifest",
  p->own_middle = p->is_middle_unlisted = true)
X(issued_by_a_peer, BAD_CERTIFICATE, "is not listed by the manifest",
  p->own_middle = p->is_middle_by_middle = p->is_middle_unlisted = true;
  p->middle.bc = "critical,CA:FALSE"; p->middle.ku = "critical,digitalSignature";
  p->middle.nc = NULL; p->middle.san = "DNS:111111.@N"; p->middle.eku = "serverAuth,clientAuth")
X(intermediate_below_intermediate, BAD_CERTIFICATE, "the chain is longer",
  p->own_middle = p->is_middle_by_middle = true)

/* keys and algorithms */
X(rsa_1024, BAD_CERTIFICATE, "key too weak", p->leaf.key = "RSA-1024")
X(rsa_2048, BAD_CERTIFICATE, "a key that is not P-256", p->leaf.key = "RSA-2048")
X(p224, BAD_CERTIFICATE, "a key that is not P-256", p->leaf.key = "P-224")
X(p384, BAD_CERTIFICATE, "a key that is not P-256", p->leaf.key = "P-384")
X(secp256k1, BAD_CERTIFICATE, "a key that is not P-256", p->leaf.key = "secp256k1")
X(ed25519, BAD_CERTIFICATE, "a key that is not P-256", p->leaf.key = "ED25519")
X(compressed_point, BAD_CERTIFICATE, "a key that is not P-256", p->leaf.is_compressed = true)
X(sha1_signature, BAD_CERTIFICATE, "too weak", p->leaf.digest = "SHA1")
X(sha512_signature, BAD_CERTIFICATE, "is signed by ecdsa-with-SHA512", p->leaf.digest = "SHA512")

/* frame */
X(version_1, BAD_CERTIFICATE, "has version 1, not 3",
  p->leaf.version = 0;
  p->leaf.bc = p->leaf.ku = p->leaf.eku = p->leaf.san = p->leaf.ski = p->leaf.aki = NULL)
X(version_2, BAD_CERTIFICATE, "requires at least X509v3", p->leaf.version = 1)
X(serial_0, BAD_CERTIFICATE, "serial number of 1 octets", p->leaf.serial = "00")
X(serial_negative, BAD_CERTIFICATE, "negative serial number",
  p->leaf.serial = "-112233445566778899")
X(serial_of_21_octets, BAD_CERTIFICATE, "serial number of 21 octets",
  p->leaf.serial = "112233445566778899aabbccddeeff001122334455")
X(serial_short, BAD_CERTIFICATE, "serial number of 4 octets", p->leaf.serial = "11223344")
X(octet_behind, BAD_CERTIFICATE, "not in DER", p->has_tail = true)
X(ber_length, BAD_CERTIFICATE, "not in DER", p->is_ber = true)
X(no_certificate, BAD_CERTIFICATE, "no certificate was sent", p->is_empty = true)

/* extensions of the leaf */
X(ca_leaf, BAD_CERTIFICATE, "basicConstraints", p->leaf.bc = "critical,CA:TRUE")
X(ca_leaf_that_may_sign, BAD_CERTIFICATE, "basicConstraints",
  p->leaf.bc = "critical,CA:TRUE"; p->leaf.ku = "critical,digitalSignature,keyCertSign")
X(no_basic_constraints, BAD_CERTIFICATE, "has no basicConstraints", p->leaf.bc = NULL)
X(basic_constraints_not_critical, BAD_CERTIFICATE, "does not mark its basicConstraints critical",
  p->leaf.bc = "CA:FALSE")
X(no_key_usage, BAD_CERTIFICATE, "has no keyUsage", p->leaf.ku = NULL)
X(key_usage_not_critical, BAD_CERTIFICATE, "does not mark its keyUsage critical",
  p->leaf.ku = "digitalSignature")
X(key_usage_too_wide, BAD_CERTIFICATE, "the keyUsage \"Digital Signature, Key Encipherment\"",
  p->leaf.ku = "critical,digitalSignature,keyEncipherment")
X(key_usage_cert_sign, BAD_CERTIFICATE, "keyCertSign invalid",
  p->leaf.ku = "critical,digitalSignature,keyCertSign")
X(key_usage_without_signature, BAD_CERTIFICATE, "the keyUsage \"Key Agreement\"",
  p->leaf.ku = "critical,keyAgreement")
X(no_eku, BAD_CERTIFICATE, "has no extKeyUsage", p->leaf.eku = NULL)
X(eku_code_signing, BAD_CERTIFICATE, "must not be used by a TLS server",
  p->leaf.eku = "codeSigning")
X(eku_client_only, BAD_CERTIFICATE, "must not be used by a TLS server", p->leaf.eku = "clientAuth")
X(eku_server_only, BAD_CERTIFICATE, "extKeyUsage", p->leaf.eku = "serverAuth")
X(eku_any, BAD_CERTIFICATE, "extKeyUsage",
  p->leaf.eku = "serverAuth,clientAuth,anyExtendedKeyUsage")
X(eku_ocsp, BAD_CERTIFICATE, "extKeyUsage", p->leaf.eku = "serverAuth,clientAuth,OCSPSigning")
X(eku_critical, BAD_CERTIFICATE, "marks its extKeyUsage critical",
  p->leaf.eku = "critical,serverAuth,clientAuth")
X(no_ski, BAD_CERTIFICATE, "subjectKeyIdentifier", p->leaf.ski = NULL)
X(ski_of_another_key, BAD_CERTIFICATE, "subjectKeyIdentifier",
  p->leaf.ski = "0102030405060708090a0b0c0d0e0f1011121314")
X(no_aki, BAD_CERTIFICATE, "Missing Authority Key Identifier", p->leaf.aki = NULL)
X(aki_with_issuer_and_serial, BAD_CERTIFICATE, "authorityKeyIdentifier",
  p->leaf.aki = "keyid:always,issuer:always")
X(aki_of_issuer_and_serial_alone, BAD_CERTIFICATE, "Missing Authority Key Identifier",
  p->leaf.aki = "issuer:always")
X(aki_of_another_key, BAD_CERTIFICATE, "is not issued by a CA of this network",
  p->leaf.aki = NULL; p->leaf.raw = "2.5.29.35=301680140102030405060708090a0b0c0d0e0f1011121314")
X(unknown_critical_extension, BAD_CERTIFICATE, "unhandled critical extension",
  p->leaf.raw = "!1.2.3.4.5=0500")
X(unknown_extension, BAD_CERTIFICATE, "does not know: 1.2.3.4.5", p->leaf.raw = "1.2.3.4.5=0500")
X(issuer_alt_name, BAD_CERTIFICATE, "does not know: 2.5.29.18",
  p->leaf.raw = "2.5.29.18=3003820161")
X(name_constraints_on_a_leaf, BAD_CERTIFICATE, "must not have nameConstraints",
  p->leaf.nc = "critical,permitted;DNS:@N")
X(list_by_ldap, BAD_CERTIFICATE, "cRLDistributionPoints", p->leaf.crldp = "URI:ldap://@N/crl")
X(two_lists, BAD_CERTIFICATE, "cRLDistributionPoints",
  p->leaf.crldp = "URI:http://@N/crl,URI:http://@N/crl2")
X(basic_constraints_malformed, BAD_CERTIFICATE, "not in DER",
  p->leaf.bc = NULL; p->leaf.raw = "!2.5.29.19=3003010100")

/* the intermediate, listed */
X(intermediate_without_constraints, BAD_CERTIFICATE, "the intermediate has no nameConstraints",
  p->own_middle = true; p->middle.nc = NULL)
X(constraints_not_critical, BAD_CERTIFICATE, "does not mark its nameConstraints critical",
  p->own_middle = true;
  p->middle.nc = "permitted;DNS:@N,excluded;IP:0.0.0.0/0.0.0.0,excluded;IP:::/::")
X(constraints_of_another_network, BAD_CERTIFICATE, "name constraints",
  p->own_middle = true; p->middle.nc = "critical,permitted;DNS:else.example")
X(constraints_too_wide, BAD_CERTIFICATE, "the intermediate has the nameConstraints",
  p->own_middle = true;
  p->middle.nc = "critical,permitted;DNS:@N,permitted;DNS:else.example,"
                 "excluded;IP:0.0.0.0/0.0.0.0,excluded;IP:::/::")
X(constraints_without_addresses, BAD_CERTIFICATE, "the intermediate has the nameConstraints",
  p->own_middle = true; p->middle.nc = "critical,permitted;DNS:@N")
X(intermediate_pathlen_1, BAD_CERTIFICATE, "the intermediate has the basicConstraints",
  p->own_middle = true; p->middle.bc = "critical,CA:TRUE,pathlen:1")
X(intermediate_without_pathlen, BAD_CERTIFICATE, "the intermediate has the basicConstraints",
  p->own_middle = true; p->middle.bc = "critical,CA:TRUE")
X(intermediate_not_a_ca, BAD_CERTIFICATE, "the intermediate: invalid CA",
  p->own_middle = true; p->middle.bc = "critical,CA:FALSE")
X(intermediate_may_not_sign, BAD_CERTIFICATE, "the intermediate: invalid CA",
  p->own_middle = true; p->middle.ku = "critical,cRLSign")
X(intermediate_key_usage_too_wide, BAD_CERTIFICATE, "the intermediate has the keyUsage",
  p->own_middle = true; p->middle.ku = "critical,digitalSignature,keyCertSign,cRLSign")
X(intermediate_without_eku, BAD_CERTIFICATE, "the intermediate has no extKeyUsage",
  p->own_middle = true; p->middle.eku = NULL)
X(intermediate_any_eku, BAD_CERTIFICATE, "the intermediate has the extKeyUsage",
  p->own_middle = true; p->middle.eku = "serverAuth,clientAuth,anyExtendedKeyUsage")
X(intermediate_without_aki, BAD_CERTIFICATE, "the intermediate: Missing Authority Key",
  p->own_middle = true; p->middle.aki = NULL)
X(intermediate_without_ski, BAD_CERTIFICATE, "the intermediate: Missing Subject Key",
  p->own_middle = true; p->middle.ski = NULL)
X(intermediate_rsa, BAD_CERTIFICATE, "the intermediate has a key that is not P-256",
  p->own_middle = true; p->middle.key = "RSA-2048")
X(intermediate_lives_too_long, BAD_CERTIFICATE, "the intermediate lives for",
  p->own_middle = p->own_root = true; p->middle.to = 6 * 366 * DAY)
X(intermediate_outlives_root, BAD_CERTIFICATE, "the intermediate outlives",
  p->own_middle = p->own_root = true; p->root.to = 9 * DAY)
X(intermediate_signed_with_sha256, BAD_CERTIFICATE, "the intermediate is signed by",
  p->own_middle = true; p->middle.digest = "SHA256")
X(intermediate_with_san, BAD_CERTIFICATE, "the intermediate must not have subjectAltName",
  p->own_middle = true; p->middle.san = "DNS:ca.@N")

/* the root, listed */
X(root_without_constraints, BAD_CERTIFICATE, "the root has no nameConstraints",
  p->own_root = p->own_middle = true; p->root.nc = NULL)
X(root_with_eku, BAD_CERTIFICATE, "the root must not have extKeyUsage",
  p->own_root = p->own_middle = true; p->root.eku = "serverAuth,clientAuth,OCSPSigning")
X(root_p256, BAD_CERTIFICATE, "the root is signed by",
  p->own_root = p->own_middle = true; p->root.key = "P-256"; p->root.digest = "SHA256";
  p->middle.digest = "SHA256")
X(root_version_1, BAD_CERTIFICATE, "the root: invalid CA",
  p->own_root = p->own_middle = true; p->root.version = 0;
  p->root.bc = p->root.ku = p->root.nc = p->root.ski = NULL)

/* the list */
X(revoked, REVOKED, "was revoked at",
  p->list = (struct list){ .is_there = true, .has_leaf = true, .from = -HOUR, .to = HOUR })
X(revoked_by_a_stale_list, REVOKED, "was revoked at",
  p->list = (struct list){ .is_there = true, .has_leaf = true, .from = -3 * DAY, .to = -DAY })
X(stale_list, EXPIRED, "the revocation list is stale since 1 day",
  p->list = (struct list){ .is_there = true, .from = -3 * DAY, .to = -DAY })
X(list_from_tomorrow, EXPIRED, "the revocation list holds only in",
  p->list = (struct list){ .is_there = true, .from = DAY, .to = 2 * DAY })
X(list_by_another_key, BAD_SIGNATURE, "the revocation list is not signed by",
  p->list = (struct list){ .is_there = true, .is_by_other_key = true, .from = -HOUR, .to = HOUR })
X(list_of_another_ca, BAD_CERTIFICATE, "the revocation list is not of",
  p->list = (struct list){ .is_there = true, .is_by_other_ca = true, .from = -HOUR, .to = HOUR })
X(no_list, BAD_CERTIFICATE, "there is no revocation list", p->needs_crl = true)
