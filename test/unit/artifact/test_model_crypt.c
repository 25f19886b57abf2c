/* SPDX-License-Identifier: Apache-2.0 */
/* Whole models: encrypted, opened, verified; whatever goes wrong leaves nothing behind. */
#include "kit/kit.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artifact/model_crypt.h"
#include "base/io.h"

static char dir[KIT_PATH_MAX], model[KIT_PATH_MAX], sealed[KIT_PATH_MAX], out[KIT_PATH_MAX];
static struct mln_age_recipient recipient;
static struct mln_oms_trust trust;
static struct mln_age_with with;

static struct mln_bytes read_test(struct mln_cx *cx, const char *name)
{
    char path[KIT_PATH_MAX];
    return kit_read_file(cx, kit_test_file(path, mln_text_format(cx, "vectors/%s", name)));
}

static void put(const char *folder, const char *name, struct mln_bytes content)
{
    char path[KIT_PATH_MAX];
    kit_write_file(kit_path(path, folder, name), content);
}

static bool is_there(const char *folder, const char *name)
{
    char path[KIT_PATH_MAX];
    return access(kit_path(path, folder, name), F_OK) == 0;
}

static void sign_model(struct mln_cx *cx)
{
    char path[KIT_PATH_MAX];
    struct mln_oms_manifest manifest;
    struct mln_oms_signer signer;
    struct mln_buf payload = {0}, bundle = {0};
    const struct mln_oms_options options = {.signature_path = kit_path(path, model, "model.sig")};
    kit_ok(cx, mln_oms_manifest(cx, model, &options, &manifest));
    kit_ok(cx, mln_oms_statement(cx, &manifest, &payload));
    kit_ok(cx, mln_oms_signer_from_pem(cx, read_test(cx, "oms/keys/p256.pem"), &signer));
    kit_ok(cx, mln_oms_bundle(cx, mln_buf_bytes(&payload), &signer, &bundle));
    put(model, "model.sig", mln_buf_bytes(&bundle));
    mln_oms_signer_free(&signer);
    mln_buf_drop(&payload);
    mln_buf_drop(&bundle);
}

static int setup(void **state)
{
    char path[KIT_PATH_MAX];
    kit_setup(state);
    struct mln_cx *cx = kit_cx(state);
    struct mln_secret keys = {0};
    kit_tmpdir(dir);
    kit_path(model, dir, "model");
    kit_path(sealed, dir, "sealed");
    kit_path(out, dir, "out");
    mkdir(model, 0700);
    mkdir(kit_path(path, model, "sub"), 0700);
    put(model, "weights.bin", MLN_BYTES("weights"));
    put(model, "sub/deep.json", MLN_BYTES("{}"));
    put(model, "empty", MLN_BYTES(""));
    put(model, "old.age", MLN_BYTES("called so, and no age file"));
    sign_model(cx);
    kit_ok(cx, mln_age_recipient_parse(
                   cx, MLN_BYTES("age1q9ayrchc4vn348r884rrszky3uyj6hv62n7geqrc9vdfpm4894ksk2jlec"),
                   &recipient));
    kit_ok(cx, mln_age_identities_parse(cx, read_test(cx, "age/identity.txt"), &keys));
    with = (struct mln_age_with){.identities = mln_bytes_dup(cx, mln_secret_bytes(&keys))};
    mln_secret_drop(&keys);
    trust = (struct mln_oms_trust){.public_pem = read_test(cx, "oms/keys/p256.pub.pem")};
    return 0;
}

static int teardown(void **state)
{
    kit_rmtree(dir);
    return kit_teardown(state);
}

static struct mln_model_encrypt to_self(void)
{
    return (struct mln_model_encrypt){.to = {.recipients = &recipient, .n_recipients = 1}};
}

/* Names in the test's folder, "a b c". */
static void expect_left(struct mln_cx *cx, const char *want)
{
    const struct mln_value *names = NULL;
    struct mln_buf text = {0};
    kit_ok(cx, mln_dir_list(cx, dir, &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        mln_buf_add_text(&text, i > 0 ? " " : "");
        mln_buf_add_bytes(&text, mln_get_bytes(mln_item(names, i)));
    }
    kit_text(mln_buf_bytes(&text), want);
    mln_buf_drop(&text);
}

static void test_there_and_back(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_model_encrypt how = to_self();
    struct mln_model_open back = {.with = with, .trust = &trust};
    const struct mln_value *report = NULL;
    char path[KIT_PATH_MAX];
    kit_ok(cx, mln_model_encrypt(cx, model, sealed, &how, &report));
    assert_int_equal(mln_get_int(mln_get(report, "files"), 0), 4);
    assert_int_equal(mln_get_int(mln_get(report, "bytes"), 0), 7 + 2 + 26);
    assert_true(mln_get_bool(mln_get(report, "signature"), false));
    assert_true(is_there(sealed, "weights.bin.age") && is_there(sealed, "sub/deep.json.age"));
    assert_true(is_there(sealed, "empty.age") && is_there(sealed, "old.age.age"));
    assert_true(is_there(sealed, "model.sig") && !is_there(sealed, "model.sig.age") &&
                !is_there(sealed, "weights.bin"));
    kit_ok(cx, mln_model_open(cx, sealed, out, &back, &report));
    assert_true(mln_get_bool(mln_get(report, "verified"), false));
    assert_int_equal(mln_get_int(mln_get(report, "files"), 0), 4);
    kit_text(mln_get_bytes(mln_get(mln_get(report, "signature"), "model")), "out");
    kit_text(kit_read_file(cx, kit_path(path, out, "weights.bin")), "weights");
    kit_text(kit_read_file(cx, kit_path(path, out, "sub/deep.json")), "{}");
    kit_text(kit_read_file(cx, kit_path(path, out, "old.age")), "called so, and no age file");
    expect_left(cx, "model out sealed");
}

static void drop_signature(struct mln_cx *cx)
{
    char path[KIT_PATH_MAX];
    (void)cx;
    unlink(kit_path(path, sealed, "model.sig"));
}
static void break_signature(struct mln_cx *cx)
{
    (void)cx;
    put(sealed, "model.sig", MLN_BYTES("{}"));
}
static void remove_one_file(struct mln_cx *cx)
{
    char path[KIT_PATH_MAX];
    (void)cx;
    unlink(kit_path(path, sealed, "empty.age"));
}
static void cut_one(struct mln_cx *cx)
{
    char path[KIT_PATH_MAX];
    struct mln_bytes whole = kit_read_file(cx, kit_path(path, sealed, "weights.bin.age"));
    put(sealed, "weights.bin.age", mln_bytes_sub(whole, 0, whole.len - 1));
}
static void add_plain(struct mln_cx *cx)
{
    (void)cx;
    put(sealed, "extra.py", MLN_BYTES("import os"));
}
static void add_bare(struct mln_cx *cx)
{
    (void)cx;
    put(sealed, ".age", MLN_BYTES("x"));
}
static void add_second_signature(struct mln_cx *cx)
{
    char path[KIT_PATH_MAX];
    put(sealed, "model.sig.age", kit_read_file(cx, kit_path(path, sealed, "empty.age")));
}
static void swap_in_another(struct mln_cx *cx)
{
    struct mln_buf file = {0};
    struct mln_model_encrypt how = to_self();
    kit_ok(cx, mln_age_encrypt_bytes(cx, MLN_BYTES("Weights"), &how.to, &file));
    put(sealed, "weights.bin.age", mln_buf_bytes(&file));
    mln_buf_drop(&file);
}
static void encrypt_one_more(struct mln_cx *cx)
{
    char path[KIT_PATH_MAX];
    put(sealed, "more.py.age", kit_read_file(cx, kit_path(path, sealed, "empty.age")));
}
static void out_is_there(struct mln_cx *cx)
{
    (void)cx;
    mkdir(out, 0700);
}
static void put_link(struct mln_cx *cx)
{
    char path[KIT_PATH_MAX];
    (void)cx;
    assert_int_equal(symlink("weights.bin.age", kit_path(path, sealed, "link.age")), 0);
}

static const struct {
    const char *name;
    void (*change)(struct mln_cx *cx);
    enum mln_code code;
    const char *part, *left;
} refused[] = {
    {"no signature but wanted", drop_signature, MLN_E_FORGED, "no signature", "model sealed"},
    {"a signature that is none", break_signature, MLN_E_FORGED, "bundle", "model sealed"},
    {"a file is missing", remove_one_file, MLN_E_FORGED, "missing empty", "model sealed"},
    {"a file is cut", cut_one, MLN_E_FORGED, "weights.bin.age: age:", "model sealed"},
    {"a plain file among them", add_plain, MLN_E_INVALID, "extra.py is neither", "model sealed"},
    {"a file without a name", add_bare, MLN_E_INVALID, ".age is neither", "model sealed"},
    {"an encrypted signature", add_second_signature, MLN_E_INVALID, "model.sig.age is neither",
     "model sealed"},
    {"encrypted again by a stranger", swap_in_another, MLN_E_FORGED, "different weights.bin",
     "model sealed"},
    {"a file more", encrypt_one_more, MLN_E_FORGED, "not signed more.py", "model sealed"},
    {"a link", put_link, MLN_E_INVALID, "link.age is a symbolic link", "model sealed"},
    {"the target is there", out_is_there, MLN_E_EXISTS, "is there already", "model out sealed"},
};

static void test_refused(void **state)
{
    for (size_t i = 0; i < MLN_COUNT(refused); i++) {
        if (i > 0) {
            setup(state);
        }
        struct mln_cx *cx = kit_cx(state);
        struct mln_model_encrypt how = to_self();
        struct mln_model_open back = {.with = with, .trust = &trust, .wants_signature = true};
        kit_ok(cx, mln_model_encrypt(cx, model, sealed, &how, NULL));
        refused[i].change(cx);
        struct mln_err err = mln_model_open(cx, sealed, out, &back, NULL);
        kit_expect_at(cx, err, refused[i].code, refused[i].part, refused[i].name, __FILE__,
                      __LINE__);
        expect_left(cx, refused[i].left);
        if (i + 1 < MLN_COUNT(refused)) {
            teardown(state);
        }
    }
}

static struct mln_err record_says(void *arg, struct mln_cx *cx, struct mln_bytes bundle,
                                  struct mln_oms_trust *ret)
{
    enum mln_code answer = *(enum mln_code *)arg;
    assert_true(bundle.len > 100);
    if (answer != MLN_E_OK) {
        return mln_fail(cx, answer, "no such release");
    }
    *ret = trust;
    return MLN_OK;
}

static void test_trust(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_model_encrypt how = to_self();
    const struct mln_value *report = NULL;
    enum mln_code answer = MLN_E_NOT_FOUND;
    kit_ok(cx, mln_model_encrypt(cx, model, sealed, &how, NULL));
    struct mln_model_open back = {.with = with};
    kit_refused_with(cx, mln_model_open(cx, sealed, out, &back, NULL), MLN_E_USAGE,
                     "give a key or roots");
    back.find_trust = record_says;
    back.find_trust_arg = &answer;
    kit_refused(cx, mln_model_open(cx, sealed, out, &back, NULL), MLN_E_NOT_FOUND);
    expect_left(cx, "model sealed");
    answer = MLN_E_OK;
    kit_ok(cx, mln_model_open(cx, sealed, out, &back, &report));
    assert_true(mln_get_bool(mln_get(report, "verified"), false));
    kit_rmtree(out);
    back = (struct mln_model_open){.with = with, .skips_signature = true};
    kit_ok(cx, mln_model_open(cx, sealed, out, &back, &report));
    assert_false(mln_get_bool(mln_get(report, "verified"), true));
    kit_rmtree(out);
    drop_signature(cx);
    back.skips_signature = false;
    kit_ok(cx, mln_model_open(cx, sealed, out, &back, &report));
    assert_false(mln_get_bool(mln_get(report, "verified"), true));
    back.with.identities = MLN_BYTES_NONE;
    kit_rmtree(out);
    kit_refused(cx, mln_model_open(cx, sealed, out, &back, NULL), MLN_E_DENIED);
    expect_left(cx, "model sealed");
}

static void test_one_file(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    char in[KIT_PATH_MAX], box[KIT_PATH_MAX], back_to[KIT_PATH_MAX];
    struct mln_model_encrypt how = to_self();
    const struct mln_value *report = NULL;
    kit_write_file(kit_path(in, dir, "weights.bin"), read_test(cx, "oms/tiny/weights.bin"));
    kit_path(box, dir, "w.age");
    kit_path(back_to, dir, "w");
    kit_ok(cx, mln_model_encrypt(cx, in, box, &how, &report));
    struct mln_model_open back = {
        .with = with, .trust = &trust, .signature = read_test(cx, "oms/single_file.sig")};
    kit_ok(cx, mln_model_open(cx, box, back_to, &back, &report));
    assert_true(mln_get_bool(mln_get(report, "verified"), false));
    kit_same(cx, kit_read_file(cx, back_to), read_test(cx, "oms/tiny/weights.bin"));
    back.signature = read_test(cx, "oms/tiny.p256.sig");
    unlink(back_to);
    kit_refused(cx, mln_model_open(cx, box, back_to, &back, &report), MLN_E_FORGED);
    expect_left(cx, "model w.age weights.bin");
    kit_refused(cx, mln_model_open(cx, in, back_to, &back, &report), MLN_E_PARSE);
    kit_refused(cx, mln_model_open(cx, box, "/", &back, &report), MLN_E_INVALID);
}

static void test_encrypt_refused(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    char path[KIT_PATH_MAX];
    struct mln_model_encrypt how = to_self();
    assert_int_equal(symlink("weights.bin", kit_path(path, model, "link")), 0);
    kit_refused_with(cx, mln_model_encrypt(cx, model, sealed, &how, NULL), MLN_E_INVALID,
                     "link is a symbolic link");
    unlink(path);
    kit_refused(cx, mln_model_encrypt(cx, model, model, &how, NULL), MLN_E_EXISTS);
    kit_refused(cx, mln_model_encrypt(cx, kit_path(path, dir, "none"), sealed, &how, NULL),
                MLN_E_NOT_FOUND);
    how.to.n_recipients = 0;
    kit_refused_with(cx, mln_model_encrypt(cx, model, sealed, &how, NULL), MLN_E_INVALID,
                     "recipients");
    expect_left(cx, "model");
}

static struct mln_err open_body(struct mln_cx *cx, void *arg)
{
    (void)arg;
    struct mln_model_open back = {.with = with, .trust = &trust};
    struct mln_err err = mln_model_open(cx, sealed, out, &back, NULL);
    assert_int_equal(access(out, F_OK) == 0, !mln_failed(err));
    if (!mln_failed(err)) {
        kit_rmtree(out);
    }
    return err;
}

static void test_faults(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_model_encrypt how = to_self();
    kit_ok(cx, mln_model_encrypt(cx, model, sealed, &how, NULL));
    assert_true(mln_each_fault_loose(MLN_FAULT_ALLOC, open_body, NULL) > 0);
    assert_true(mln_each_fault(MLN_FAULT_READ, open_body, NULL) > 0);
    assert_true(mln_each_fault(MLN_FAULT_WRITE, open_body, NULL) > 0);
    expect_left(cx, "model sealed");
}

#define DIR_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    mln_secret_allow_unlocked(true);
    const struct CMUnitTest tests[] = {
        DIR_TEST(test_there_and_back), DIR_TEST(test_refused),         DIR_TEST(test_trust),
        DIR_TEST(test_one_file),       DIR_TEST(test_encrypt_refused), DIR_TEST(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
