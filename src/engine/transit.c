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
#define FIELD_NONCE {.name = "nonce", .type = MLN_FIELD_TEXT, .help = "Refused when encrypting: nonces are not chosen outside."}
#define FIELD_CONTEXT                                                                                                  \
    {.name = "context", .type = MLN_FIELD_TEXT, .help = "Base64: a derived key has a key for each.", .is_query = true}
#define FIELD_INPUT {.name = "input", .type = MLN_FIELD_SECRET, .help = "Base64."}
#define FIELD_URL_ALGORITHM                                                                                            \
    {.name = "urlalgorithm", .type = MLN_FIELD_TEXT, .help = "Hash in the path: sha2-256.", .is_query = true}
#define FIELD_ALGORITHM {.name = "algorithm", .type = MLN_FIELD_TEXT, .help = "sha2-224 to sha2-512, sha3-224 to sha3-512."}
#define FIELD_CIPHERTEXT {.name = "ciphertext", .type = MLN_FIELD_TEXT, .help = "As encrypt gave it."}
#define FIELD_DERIVED {.name = "derived", .type = MLN_FIELD_BOOL, .help = "Each use names a context, which has a key of its own."}
#define FIELD_CONVERGENT                                                                                               \
    {.name = "convergent_encryption", .type = MLN_FIELD_BOOL, .help = "Equal plaintexts give equal texts; needs derived."}
#define FIELD_PUBLIC {.name = "public_key", .type = MLN_FIELD_TEXT, .help = "PEM: only the public half."}
#define FIELD_OAEP {.name = "hash_function", .type = MLN_FIELD_TEXT, .help = "Of OAEP: SHA1 to SHA512; SHA256."}
#define FIELD_WRAPPED                                                                                                  \
    {.name = "ciphertext", .type = MLN_FIELD_TEXT, .help = "Base64 of an AES key under the wrapping key and a key under that."}

static const struct mln_field name_fields[] = {FIELD_NAME, {0}};

#define FIELDS_KEY                                                                                                     \
    {.name = "exportable", .type = MLN_FIELD_BOOL, .help = "May leave; cannot be turned off."},                        \
        {.name = "allow_plaintext_backup", .type = MLN_FIELD_BOOL, .help = "Cannot be turned off."},                   \
    {                                                                                                                  \
        .name = "auto_rotate_period", .type = MLN_FIELD_DURATION, .help = "Rotate by itself; 0 is never."              \
    }
#define FIELD_TYPE                                                                                                     \
    {                                                                                                                  \
        .name = "type", .type = MLN_FIELD_TEXT,                                                                        \
        .help = "aes128-gcm96, aes256-gcm96, chacha20-poly1305, xchacha20-poly1305, ed25519, ecdsa-p256, ecdsa-p384, " \
                "ecdsa-p521, rsa-2048, rsa-3072, rsa-4096 or hmac."                                                    \
    }

static const struct mln_field key_fields[] = {
    FIELD_NAME, FIELDS_KEY, FIELD_TYPE, FIELD_DERIVED, FIELD_CONVERGENT, FIELD_CONTEXT,
    {.name = "key_size", .type = MLN_FIELD_INT, .help = "Bytes of an hmac key, 32 to 512."},
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

static const struct mln_field import_fields[] = {
    FIELD_NAME, FIELDS_KEY, FIELD_TYPE, FIELD_DERIVED, FIELD_CONVERGENT, FIELD_CONTEXT, FIELD_WRAPPED, FIELD_OAEP, FIELD_PUBLIC,
    {.name = "allow_rotation", .type = MLN_FIELD_BOOL, .help = "The server may make further versions itself."},
    {0},
};

static const struct mln_field import_version_fields[] = {
    FIELD_NAME, FIELD_WRAPPED, FIELD_OAEP, FIELD_PUBLIC,
    {.name = "version", .type = MLN_FIELD_INT, .help = "Of which only the public half is there: brings the private one."},
    {0},
};

static const struct mln_field restore_fields[] = {
    FIELD_NAME,
    {.name = "backup", .type = MLN_FIELD_SECRET, .help = "As backup gave it."},
    {.name = "force", .type = MLN_FIELD_BOOL, .help = "Replace a key of this name."},
    {0},
};

static const struct mln_field encrypt_fields[] = {
    FIELD_NAME, FIELD_AAD, FIELD_NONCE, FIELD_CONTEXT, FIELD_VERSION, FIELD_BATCH, FIELD_PARTIAL, FIELD_CONVERGENT,
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
    FIELD_NAME, FIELD_INPUT, FIELD_VERSION, FIELD_BATCH, FIELD_PARTIAL, FIELD_CONTEXT, FIELD_URL_ALGORITHM, FIELD_ALGORITHM,
    {.name = "hash_algorithm", .type = MLN_FIELD_TEXT, .help = "sha1, sha2-224 to sha3-512, or none; sha2-256."},
    {.name = "prehashed", .type = MLN_FIELD_BOOL, .help = "The input is a digest already."},
    {.name = "marshaling_algorithm", .type = MLN_FIELD_TEXT, .help = "asn1 or jws."},
    {.name = "signature_algorithm", .type = MLN_FIELD_TEXT, .help = "Of RSA: pss or pkcs1v15."},
    {.name = "salt_length", .type = MLN_FIELD_TEXT, .help = "Of PSS: auto, hash or a number."},
    {.name = "signature", .type = MLN_FIELD_TEXT, .help = "verify: as sign gave it."},
    {.name = "hmac", .type = MLN_FIELD_TEXT, .help = "verify: as hmac gave it."},
    {0},
};

static const struct mln_field hmac_fields[] = {
    FIELD_NAME, FIELD_INPUT, FIELD_VERSION, FIELD_BATCH, FIELD_PARTIAL, FIELD_URL_ALGORITHM, FIELD_ALGORITHM, {0},
};

static const struct mln_field random_fields[] = {
    {.name = "source", .type = MLN_FIELD_TEXT, .help = "Or the number of bytes.", .is_query = true},
    {.name = "urlbytes", .type = MLN_FIELD_TEXT, .help = "Number of bytes in the path.", .is_query = true},
    {.name = "bytes", .type = MLN_FIELD_INT, .fallback = "32", .help = "How many, at most 131072."},
    {.name = "format", .type = MLN_FIELD_TEXT, .help = "base64 or hex."},
    {0},
};

static const struct mln_field hash_fields[] = {
    FIELD_INPUT, FIELD_URL_ALGORITHM, FIELD_ALGORITHM,
    {.name = "format", .type = MLN_FIELD_TEXT, .help = "hex or base64."},
    {0},
};

static const struct mln_field export_fields[] = {
    FIELD_NAME,
    {.name = "kind", .type = MLN_FIELD_TEXT, .help = "encryption-key, signing-key, hmac-key or public-key.", .is_query = true},
    {.name = "version", .type = MLN_FIELD_TEXT, .help = "A number or latest; all without.", .is_query = true},
    {0},
};

static const struct mln_field cache_fields[] = {
    {.name = "size", .type = MLN_FIELD_INT, .fallback = "0", .help = "Kept for clients that set it; 0 or at least 10."},
    {0},
};

static const struct mln_field settings_fields[] = {
    {.name = "disable_upsert", .type = MLN_FIELD_BOOL, .help = "Encrypting makes no keys."},
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
    {.pattern = "keys/{name}/soft-delete", .summary = "Put a key out of use; it can come back.", .fields = name_fields,
     .write = transit_soft_delete, .remove = transit_soft_delete},
    {.pattern = "keys/{name}/soft-delete-restore", .summary = "Put a key into use again.", .fields = name_fields,
     .write = transit_soft_restore},
    {.pattern = "keys/{name}/import", .summary = "Bring a key in.", .fields = import_fields, .write = transit_import_write},
    {.pattern = "keys/{name}/import_version", .summary = "Bring a new version of an imported key in.",
     .fields = import_version_fields, .write = transit_import_version_write},
    {.pattern = "wrapping_key", .summary = "The key under which keys come in.", .read = transit_wrapping_key_read},
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
    {.pattern = "backup/{name}", .summary = "All of a key in the clear.", .fields = name_fields, .read = transit_backup_read},
    {.pattern = "restore/{name}?", .summary = "Bring a backup back.", .fields = restore_fields, .write = transit_restore_write},
    {.pattern = "cache-config", .summary = "Kept for clients that set it.", .fields = cache_fields, .read = transit_cache_read,
     .write = transit_cache_write},
    {.pattern = "config/keys", .summary = "Settings of all keys.", .fields = settings_fields, .read = transit_settings_read,
     .write = transit_settings_write},
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
