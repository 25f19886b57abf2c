/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cryptography as a service: Vault's transit engine on its own paths. Keys lie behind the barrier and stay in core. The
 * descriptor; handlers are in transit_*.c. Source: Vault's public API documentation; docs/engine-transit.md.
 */
#include "engine/transit_priv.h"

#define FIELD_NAME {.name = "name", .type = MLN_FIELD_TEXT, .help = "Name of the key.", .is_query = true}
#define FIELD_BATCH {.name = "batch_input", .type = MLN_FIELD_ANY, .help = "Many at once: a list of maps."}
#define FIELD_PARTIAL                                                                                                  \
    {.name = "partial_failure_response_code", .type = MLN_FIELD_INT, .help = "Status when only some of a batch failed."}
#define FIELD_VERSION {.name = "key_version", .type = MLN_FIELD_INT, .help = "Version of the key; 0 is the newest."}
#define FIELD_AAD {.name = "associated_data", .type = MLN_FIELD_TEXT, .help = "Base64: bound, not stored."}
#define FIELD_NONCE {.name = "nonce", .type = MLN_FIELD_TEXT, .help = "Not allowed: nonces are random."}
#define FIELD_CONTEXT {.name = "context", .type = MLN_FIELD_TEXT, .help = "Only for derived keys: not used."}
#define FIELD_INPUT {.name = "input", .type = MLN_FIELD_SECRET, .help = "Base64."}
#define FIELD_URL_ALGORITHM                                                                                            \
    {.name = "urlalgorithm", .type = MLN_FIELD_TEXT, .help = "Hash in the path: sha2-256.", .is_query = true}
#define FIELD_CIPHERTEXT {.name = "ciphertext", .type = MLN_FIELD_TEXT, .help = "As encrypt gave it."}

static const struct mln_field name_fields[] = {FIELD_NAME, {0}};

#define FIELDS_KEY                                                                                                     \
    {.name = "exportable", .type = MLN_FIELD_BOOL, .help = "May leave; cannot be turned off."},                        \
        {.name = "allow_plaintext_backup", .type = MLN_FIELD_BOOL, .help = "Cannot be turned off."},                   \
    {                                                                                                                  \
        .name = "auto_rotate_period", .type = MLN_FIELD_DURATION, .help = "Rotate by itself; 0 is never."              \
    }

static const struct mln_field key_fields[] = {
    FIELD_NAME,
    FIELDS_KEY,
    {.name = "type", .type = MLN_FIELD_TEXT, .help = "aes256-gcm96, chacha20-poly1305, ecdsa-p256 or ed25519."},
    {.name = "derived", .type = MLN_FIELD_BOOL, .help = "Not supported."},
    {.name = "convergent_encryption", .type = MLN_FIELD_BOOL, .help = "Not supported."},
    {0},
};

static const struct mln_field config_fields[] = {
    FIELD_NAME,
    FIELDS_KEY,
    {.name = "min_decryption_version", .type = MLN_FIELD_INT, .help = "Older versions no longer decrypt or verify."},
    {.name = "min_encryption_version", .type = MLN_FIELD_INT, .help = "Older versions no longer encrypt or sign."},
    {.name = "deletion_allowed", .type = MLN_FIELD_BOOL, .help = "The key may be deleted."},
    {0},
};

static const struct mln_field trim_fields[] = {
    FIELD_NAME,
    {.name = "min_available_version", .type = MLN_FIELD_INT, .help = "Versions below are destroyed."},
    {0},
};

static const struct mln_field encrypt_fields[] = {
    FIELD_NAME, FIELD_AAD, FIELD_NONCE, FIELD_CONTEXT, FIELD_VERSION, FIELD_BATCH, FIELD_PARTIAL,
    {.name = "plaintext", .type = MLN_FIELD_SECRET, .help = "Base64."},
    {.name = "type", .type = MLN_FIELD_TEXT, .help = "Of a key that is made by this."},
    {0},
};

static const struct mln_field decrypt_fields[] = {
    FIELD_NAME, FIELD_CIPHERTEXT, FIELD_AAD, FIELD_NONCE, FIELD_CONTEXT, FIELD_VERSION, FIELD_BATCH, FIELD_PARTIAL, {0},
};

static const struct mln_field datakey_fields[] = {
    FIELD_NAME, FIELD_AAD, FIELD_NONCE, FIELD_CONTEXT, FIELD_VERSION,
    {.name = "kind", .type = MLN_FIELD_TEXT, .help = "plaintext or wrapped.", .is_query = true},
    {.name = "bits", .type = MLN_FIELD_INT, .fallback = "256", .help = "128, 256 or 512."},
    {0},
};

static const struct mln_field sign_fields[] = {
    FIELD_NAME, FIELD_INPUT, FIELD_VERSION, FIELD_BATCH, FIELD_PARTIAL, FIELD_CONTEXT, FIELD_URL_ALGORITHM,
    {.name = "hash_algorithm", .type = MLN_FIELD_TEXT, .help = "sha2-256."},
    {.name = "prehashed", .type = MLN_FIELD_BOOL, .help = "The input is a digest already."},
    {.name = "marshaling_algorithm", .type = MLN_FIELD_TEXT, .help = "asn1 or jws."},
    {.name = "signature_algorithm", .type = MLN_FIELD_TEXT, .help = "Only for RSA: not used."},
    {.name = "signature", .type = MLN_FIELD_TEXT, .help = "verify: as sign gave it."},
    {.name = "hmac", .type = MLN_FIELD_TEXT, .help = "verify: as hmac gave it."},
    {0},
};

static const struct mln_field hmac_fields[] = {
    FIELD_NAME, FIELD_INPUT, FIELD_VERSION, FIELD_BATCH, FIELD_PARTIAL, FIELD_URL_ALGORITHM,
    {.name = "algorithm", .type = MLN_FIELD_TEXT, .help = "sha2-256."},
    {0},
};

static const struct mln_field random_fields[] = {
    {.name = "source", .type = MLN_FIELD_TEXT, .help = "Or the number of bytes.", .is_query = true},
    {.name = "urlbytes", .type = MLN_FIELD_TEXT, .help = "Number of bytes in the path.", .is_query = true},
    {.name = "bytes", .type = MLN_FIELD_INT, .fallback = "32", .help = "How many, at most 131072."},
    {.name = "format", .type = MLN_FIELD_TEXT, .help = "base64 or hex."},
    {0},
};

static const struct mln_field hash_fields[] = {
    FIELD_INPUT, FIELD_URL_ALGORITHM,
    {.name = "algorithm", .type = MLN_FIELD_TEXT, .help = "sha2-256."},
    {.name = "format", .type = MLN_FIELD_TEXT, .help = "hex or base64."},
    {0},
};

static const struct mln_field export_fields[] = {
    FIELD_NAME,
    {.name = "kind", .type = MLN_FIELD_TEXT, .help = "encryption-key, signing-key, hmac-key or public-key.", .is_query = true},
    {.name = "version", .type = MLN_FIELD_TEXT, .help = "A number or latest; all without.", .is_query = true},
    {0},
};

static const struct mln_path transit_paths[] = {
    {.pattern = "keys", .summary = "List keys.", .list = transit_keys_list},
    {.pattern = "keys/{name}", .summary = "Make, read or delete a key.", .fields = key_fields,
     .read = transit_keys_read, .write = transit_keys_write, .remove = transit_keys_remove},
    {.pattern = "keys/{name}/config", .summary = "Change the settings of a key.", .fields = config_fields,
     .write = transit_config_write},
    {.pattern = "keys/{name}/rotate", .summary = "Make a new version of a key.", .fields = name_fields,
     .write = transit_rotate_write},
    {.pattern = "keys/{name}/trim", .summary = "Destroy old versions of a key.", .fields = trim_fields,
     .write = transit_trim_write},
    {.pattern = "encrypt/{name}", .summary = "Encrypt; makes the key when it is not there.", .fields = encrypt_fields,
     .write = transit_encrypt_write, .exists = transit_keys_exists},
    {.pattern = "decrypt/{name}", .summary = "Decrypt.", .fields = decrypt_fields, .write = transit_decrypt_write},
    {.pattern = "rewrap/{name}", .summary = "Encrypt again under the newest version.", .fields = decrypt_fields,
     .write = transit_rewrap_write},
    {.pattern = "datakey/{kind}/{name}", .summary = "Make a data key.", .fields = datakey_fields,
     .write = transit_datakey_write},
    {.pattern = "sign/{name}/{urlalgorithm}?", .summary = "Sign.", .fields = sign_fields, .write = transit_sign_write},
    {.pattern = "verify/{name}/{urlalgorithm}?", .summary = "Verify a signature or a keyed hash.", .fields = sign_fields,
     .write = transit_verify_write},
    {.pattern = "hmac/{name}/{urlalgorithm}?", .summary = "Keyed hash.", .fields = hmac_fields,
     .write = transit_hmac_write},
    {.pattern = "random/{source}/{urlbytes}", .summary = "Random bytes.", .fields = random_fields,
     .write = transit_random_write},
    {.pattern = "random/{source}?", .summary = "Random bytes.", .fields = random_fields, .write = transit_random_write},
    {.pattern = "hash/{urlalgorithm}?", .summary = "Hash.", .fields = hash_fields, .write = transit_hash_write},
    {.pattern = "export/{kind}/{name}/{version}?", .summary = "Read the material of an exportable key.",
     .fields = export_fields, .read = transit_export_read},
    {0},
};

const struct mln_engine mln_engine_transit = {
    .type = "transit",
    .kind = MLN_MOUNT_SECRET,
    .summary = "Encryption and signatures with keys that stay inside.",
    .paths = transit_paths,
    .tick = transit_tick,
    .tick_s = 3600,
};
