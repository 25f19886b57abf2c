/* SPDX-License-Identifier: Apache-2.0 */
/* What the `merlon model` commands share: keys of the server, whom to trust, progress. */
#pragma once

#include "artifact/model_crypt.h"
#include "cli/cli_priv.h"

/* "transit:NAME" or "transit:MOUNT/KEY"; the mount is transit when none is named. */
struct model_key {
    const char *mount, *name;
};
bool model_key_is(const char *text); /* begins with "transit:" */
struct mln_err model_key_parse(struct mln_cli *cli, const char *text, struct model_key *ret);
/* "MOUNT/<kind>/KEY", escaped. */
const char *model_key_path(struct mln_cli *cli, const struct model_key *key, const char *kind);

/* Signs through the server; the private key never leaves it. */
struct model_signer {
    struct mln_cli *cli;
    struct model_key key;
    int64_t version;
};
/* The newest version of an ecdsa-p256 key. errors INVALID (another type), those of the server */
struct mln_err model_signer_of(struct mln_cli *cli, const struct model_key *key, struct model_signer *keep,
                               struct mln_oms_signer *ret);

/* File keys wrapped and unwrapped by the server; the arg of both is the command line. */
struct mln_err model_wrap(void *arg, struct mln_cx *cx, const char *key, const uint8_t file_key[MLN_AGE_KEY],
                          struct mln_buf *wrapped, uint32_t *ret_version);
struct mln_err model_unwrap(void *arg, struct mln_cx *cx, const char *key, uint32_t version, struct mln_bytes wrapped,
                            uint8_t file_key[MLN_AGE_KEY]);

/* --signature, else where the signature of this folder or file lies. */
const char *model_signature_path(struct mln_cli *cli, const char *model);
/* Whom to trust by --key and --roots; *ret_is_given false when neither was given. */
struct mln_err model_trust(struct mln_cli *cli, struct mln_oms_trust *ret, bool *ret_is_given);
/* By the server's record of the release that has this bundle's root digest; arg is the command line. */
struct mln_err model_trust_of_server(void *arg, struct mln_cx *cx, struct mln_bytes bundle, struct mln_oms_trust *ret);
/* The options of verifying that the flags set. */
struct mln_oms_options model_verify_options(struct mln_cli *cli);

struct mln_work_progress model_progress(struct mln_cli *cli, const char *what, struct mln_progress *keep);

#define MODEL_TRUST_FLAGS                                                                            \
    {"key", MLN_FLAG_TEXT, "FILE", NULL, "Trust this public key (PEM)"},                             \
        {"roots", MLN_FLAG_TEXT, "FILE", NULL, "Trust certificates under these roots (PEM)"},        \
        {"identity-of", MLN_FLAG_TEXT, "NAME", NULL, "Name the signer's certificate must have"},     \
        {"valid-now", MLN_FLAG_BOOL, NULL, NULL, "Certificates must be valid today"},                \
        {"ignore-unsigned", MLN_FLAG_BOOL, NULL, NULL, "Files the signature does not know are fine"}, \
        {"allow-uncovered", MLN_FLAG_BOOL, NULL, NULL, "The signer may have left out any file"},     \
        {"legacy", MLN_FLAG_BOOL, NULL, NULL, "Also accept formats from before version 1"}
