/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives that models come in: torch-zip, torchscript, npz, and any other zip. Members go back through mln_scan_bytes, except
 * what torch gives a meaning by its place: pickles, TorchScript code and storages, whose bytes no loader interprets.
 */
#include "artifact/npy.h"
#include "artifact/torch_code.h"
#include "artifact/zip.h"
#include "base/text.h"

#define MEMBER_ARENA_BYTES ((size_t)256 << 20) /* for what is read of one member */
#define NPY_HEAD_BYTES                                                                             \
    ((size_t)1 << 20) /* of a packed array: numpy's headers are some hundred bytes */
#define NOTE_MAX 256u /* bytes of version, byteorder and the like */

enum kind { KIND_ZIP, KIND_NPZ, KIND_TORCH, KIND_SCRIPT };

struct archive {
    const struct mln_scan_input *input;
    struct mln_scan_report *report;
    struct mln_zip zip;
    struct mln_buf scratch;
    enum kind kind;
    struct mln_bytes root; /* of a torch archive, with its slash */
    uint64_t storages;
    uint64_t storage_bytes;
    uint64_t storage_at;
};

static bool ends(struct mln_bytes name, const char *with)
{
    return mln_bytes_ends(name, mln_bytes_of(with));
}

static bool ends_nocase(struct mln_bytes name, const char *with)
{
    size_t len = mln_bytes_of(with).len;
    return name.len >= len && mln_bytes_is_nocase(mln_bytes_from(name, name.len - len), with);
}

/* The name below the archive's root folder; none when it is elsewhere. */
static struct mln_bytes below_root(const struct archive *a, struct mln_bytes name)
{
    return mln_bytes_starts(name, a->root) ? mln_bytes_from(name, a->root.len) : MLN_BYTES_NONE;
}

/* ---- reports of members ---- */

/* A member's name as reports show it: hostile bytes give one line of UTF-8. */
static const char *shown(struct mln_cx *cx, struct mln_bytes name)
{
    bool is_utf8 = mln_utf8_valid(name);
    char *to = mln_new(cx, name.len + 1);
    for (size_t i = 0; to != NULL && i < name.len; i++) {
        uint8_t c = name.ptr[i];
        to[i] = c < 0x20 || c == 0x7F || (c >= 0x80 && !is_utf8) ? '?' : (char)c;
    }
    return to != NULL ? to : "";
}

/* Take over what was found in a member, under its name. */
static void merge(struct archive *a, const struct mln_zip_member *m,
                  const struct mln_scan_report *sub)
{
    struct mln_cx *cx = a->report->cx;
    const char *name = shown(cx, m->name);
    for (size_t i = 0; i < mln_len(sub->findings); i++) {
        if (mln_len(a->report->findings) >= MLN_SCAN_FINDINGS_MAX) {
            a->report->n_dropped++;
            continue;
        }
        struct mln_value *finding = mln_value_dup(cx, mln_item(sub->findings, i));
        const char *inner = mln_get_text(cx, mln_get(finding, "member"), NULL);
        mln_put_text(cx, finding, "member",
                     inner == NULL ? name : mln_text_format(cx, "%s!%s", name, inner));
        mln_push(cx, a->report->findings, finding);
    }
    for (size_t i = 0;
         i < mln_len(sub->unread) && mln_len(a->report->unread) < MLN_SCAN_FINDINGS_MAX; i++) {
        mln_push(cx, a->report->unread, mln_value_dup(cx, mln_item(sub->unread, i)));
    }
    a->report->verdict = sub->verdict > a->report->verdict ? sub->verdict : a->report->verdict;
    a->report->n_dropped += sub->n_dropped;
    a->report->bytes_read += sub->bytes_read;
}

enum role { ROLE_ANY, ROLE_PICKLE, ROLE_CODE, ROLE_NOTE };

static struct mln_err scan_as(struct mln_cx *cx, const struct mln_scan_input *input, enum role role,
                              struct mln_scan_report *sub)
{
    size_t end = input->map.len;
    if (role == ROLE_CODE) {
        mln_torch_code(sub, input->map, input->base);
        return MLN_OK;
    }
    if (role != ROLE_PICKLE) {
        return mln_scan_bytes(cx, input, sub);
    }
    MLN_TRY(mln_scan_pickle_at(cx, input, 0, true, sub, &end));
    if (end < input->map.len) {
        mln_scan_find(sub, MLN_VERDICT_SUSPICIOUS, MLN_SEVERITY_MEDIUM, "pickle-tail",
                      input->base + end, "%zu bytes behind the pickle", input->map.len - end);
    }
    return MLN_OK;
}

/* Judge one member's content with memory of its own, so that one member cannot starve the others. */
static struct mln_err judge(struct archive *a, const struct mln_zip_member *m,
                            struct mln_bytes content, enum role role)
{
    struct mln_cx cx;
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(MEMBER_ARENA_BYTES, false);
    if (arena == NULL) {
        return mln_fail(a->report->cx, MLN_E_MEMORY, "zip: no memory for a member");
    }
    if (a->input->depth >= MLN_SCAN_DEPTH_MAX) {
        mln_scan_find(a->report, MLN_VERDICT_SUSPICIOUS, MLN_SEVERITY_MEDIUM, "zip-depth",
                      a->zip.base + m->header_at, "archives nest too deep to be read");
        return MLN_OK;
    }
    mln_cx_init(&cx, arena);
    struct mln_scan_report sub = {.cx = &cx, .findings = mln_array(&cx), .unread = mln_array(&cx)};
    struct mln_scan_input input = {.map = content, .depth = a->input->depth + 1};
    bool is_view = content.ptr != NULL && content.ptr == a->zip.map.ptr + m->data_at &&
                   m->method == MLN_ZIP_STORED;
    input.base = is_view ? a->zip.base + m->data_at : 0;
    input.path = mln_text_format(&cx, "%s!%.*s", a->input->path, MLN_FMT(m->name));
    struct mln_err err = mln_cx_err(&cx);
    if (!mln_failed(err)) {
        err = scan_as(&cx, &input, role, &sub);
    }
    merge(a, m, &sub);
    if (mln_failed(err)) {
        mln_scan_find(a->report, MLN_VERDICT_SUSPICIOUS, MLN_SEVERITY_MEDIUM, "zip-member-unread",
                      a->zip.base + m->header_at, "the member %.*s could not be read: %s",
                      MLN_FMT(m->name), cx.text);
    }
    return mln_cx_err(a->report->cx);
}

static bool is_plain_text(struct mln_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((text.ptr[i] < 0x20 || text.ptr[i] > 0x7e) && text.ptr[i] != '\n') {
            return false;
        }
    }
    return true;
}

static struct mln_err read_and_judge(struct archive *a, const struct mln_zip_member *m,
                                     enum role role)
{
    struct mln_bytes content;
    bool is_whole = false;
    MLN_TRY(
        mln_zip_content(a->report->cx, &a->zip, m, a->report, &a->scratch, &content, &is_whole));
    if (content.len == 0 && (!is_whole || role != ROLE_PICKLE)) {
        return MLN_OK;
    }
    if (role == ROLE_NOTE && is_whole && is_plain_text(content)) {
        return MLN_OK;
    }
    uint64_t before = a->report->bytes_read;
    struct mln_err err = judge(a, m, content, role);
    a->report->bytes_read = before; /* counted when it was unpacked */
    return err;
}

/* ---- members by their meaning ---- */

/* data/12, constants/3: a storage, which loaders copy and do not interpret. */
static bool is_storage_name(const struct archive *a, struct mln_bytes name)
{
    static const char *const folders[] = {"data/", "constants/", "tensors/"};
    struct mln_bytes rest = below_root(a, name);
    for (size_t i = 0; i < MLN_COUNT(folders); i++) {
        struct mln_bytes folder = mln_bytes_of(folders[i]);
        if (!mln_bytes_starts(rest, folder) || rest.len == folder.len) {
            continue;
        }
        for (size_t k = folder.len; k < rest.len; k++) {
            if (rest.ptr[k] < '0' || rest.ptr[k] > '9') {
                return false;
            }
        }
        return true;
    }
    return false;
}

/* Is it named like a line or a number that torch writes about the archive? */
static bool is_note_name(const struct archive *a, const struct mln_zip_member *m)
{
    static const char *const notes[] = {
        "version",       "byteorder",       ".data/serialization_id",
        ".data/version", ".format_version", ".storage_alignment"};
    struct mln_bytes rest = below_root(a, m->name);
    bool is_named = false;
    for (size_t i = 0; i < MLN_COUNT(notes); i++) {
        is_named |= mln_bytes_is(rest, notes[i]);
    }
    return is_named && m->size <= NOTE_MAX && mln_bytes_eq(m->name, m->local_name);
}

static bool either_ends(const struct mln_zip_member *m, const char *with)
{
    return ends(m->name, with) || ends(m->local_name, with);
}

/* An array in a storage's place: numpy would open the archive too, and read objects from it. */
static struct mln_err find_array(struct archive *a, const struct mln_zip_member *m, bool *ret)
{
    struct mln_bytes head = mln_bytes_sub(a->zip.map, (size_t)m->data_at, (size_t)m->packed);
    if (m->method == MLN_ZIP_DEFLATED) {
        MLN_TRY(mln_zip_head(a->report->cx, &a->zip, m, 16, &a->scratch, &head));
    }
    *ret = mln_bytes_starts(head, MLN_BYTES("\x93NUMPY"));
    return MLN_OK;
}

static struct mln_err torch_member(struct archive *a, const struct mln_zip_member *m)
{
    bool is_array = false;
    bool is_storage = is_storage_name(a, m->name) && is_storage_name(a, m->local_name);
    if (is_storage) {
        MLN_TRY(find_array(a, m, &is_array));
    }
    if (is_storage && !is_array) {
        a->storage_at = a->storages == 0 ? a->zip.base + m->data_at : a->storage_at;
        a->storages++;
        a->storage_bytes += m->packed;
        return MLN_OK;
    }
    if (either_ends(m, ".pkl") || either_ends(m, ".debug_pkl")) {
        return read_and_judge(a, m, ROLE_PICKLE);
    }
    bool is_code =
        mln_bytes_starts(below_root(a, m->name), MLN_BYTES("code/")) && ends(m->name, ".py");
    if (is_code && mln_bytes_eq(m->name, m->local_name)) {
        return read_and_judge(a, m, ROLE_CODE);
    }
    return read_and_judge(a, m, is_note_name(a, m) ? ROLE_NOTE : ROLE_ANY);
}

/* A large packed array without objects: its header is enough. */
static struct mln_err plain_array(struct archive *a, const struct mln_zip_member *m, bool *ret_done)
{
    struct mln_bytes head;
    *ret_done = false;
    if (m->method != MLN_ZIP_DEFLATED || m->size <= NPY_HEAD_BYTES || m->size / 1040 > m->packed ||
        !either_ends(m, ".npy")) {
        return MLN_OK;
    }
    MLN_TRY(mln_zip_head(a->report->cx, &a->zip, m, NPY_HEAD_BYTES, &a->scratch, &head));
    if (mln_npy_is_plain(head, m->size)) {
        mln_scan_skip(a->report, "packed array data", a->zip.base + m->data_at, m->packed);
        a->report->bytes_read += head.len;
        *ret_done = true;
    }
    return MLN_OK;
}

static struct mln_err plain_member(struct archive *a, const struct mln_zip_member *m)
{
    bool is_done = false;
    if (ends(m->name, "/") && m->packed == 0) {
        return MLN_OK;
    }
    MLN_TRY(plain_array(a, m, &is_done));
    return is_done ? MLN_OK : read_and_judge(a, m, ROLE_ANY);
}

/* ---- archives ---- */

/* What kind of archive the names make it; a "data.pkl" in a folder is what torch looks for. */
static void classify(struct archive *a)
{
    size_t arrays = 0;
    bool has_code = false;
    for (size_t i = 0; i < a->zip.n; i++) {
        const struct mln_zip_member *m = &a->zip.members[i];
        struct mln_bytes name = ends(m->name, "/data.pkl") ? m->name : m->local_name;
        if (ends(name, "/data.pkl") && a->root.len == 0) {
            a->root = mln_bytes_sub(name, 0, name.len - 8);
        }
        has_code |= either_ends(m, "/constants.pkl") ||
                    mln_bytes_find_bytes(m->name, MLN_BYTES("/code/")) < m->name.len;
        arrays += ends(m->name, ".npy");
    }
    if (a->root.len > 0) {
        a->kind = has_code ? KIND_SCRIPT : KIND_TORCH;
    } else if (ends_nocase(mln_bytes_of(a->input->path), ".npz") ||
               (arrays > 0 && arrays == a->zip.n)) {
        a->kind = KIND_NPZ;
    }
}

/* Keras archives name Python classes in their configuration, which is not judged here. */
static void check_keras(struct archive *a)
{
    unsigned seen = ends_nocase(mln_bytes_of(a->input->path), ".keras") ? 2 : 0;
    for (size_t i = 0; i < a->zip.n; i++) {
        seen += mln_bytes_is(a->zip.members[i].name, "config.json") ||
                mln_bytes_is(a->zip.members[i].name, "metadata.json");
    }
    if (seen >= 2) {
        mln_scan_find(a->report, MLN_VERDICT_UNSUPPORTED, MLN_SEVERITY_INFO, "unsupported",
                      a->zip.base, "Keras archives are not judged");
    }
}

static struct mln_err scan_members(struct archive *a)
{
    for (size_t i = 0; i < a->zip.n; i++) {
        const struct mln_zip_member *m = &a->zip.members[i];
        if (!m->in_local) {
            continue;
        }
        MLN_TRY(a->kind == KIND_TORCH || a->kind == KIND_SCRIPT ? torch_member(a, m)
                                                                : plain_member(a, m));
    }
    if (a->storages > 0) {
        mln_scan_skip(a->report,
                      mln_text_format(a->report->cx, "tensor data of %llu members",
                                      (unsigned long long)a->storages),
                      a->storage_at, a->storage_bytes);
    }
    return mln_cx_err(a->report->cx);
}

static struct mln_err zip_scan(struct mln_cx *cx, const struct mln_scan_input *input,
                               struct mln_scan_report *report)
{
    static const char *const names[] = {"zip", "npz", "torch-zip", "torchscript"};
    struct archive a = {.input = input, .report = report};
    report->format = "zip";
    MLN_TRY(mln_zip_read(cx, input, report, &a.zip));
    classify(&a);
    check_keras(&a);
    struct mln_err err = scan_members(&a);
    mln_buf_drop(&a.scratch);
    report->format = names[a.kind];
    return err;
}

static int zip_probe(const struct mln_scan_input *input)
{
    int how = mln_zip_probe(input->map);
    struct mln_bytes path = mln_bytes_of(input->path);
    if (how == 0 && (ends_nocase(path, ".zip") || ends_nocase(path, ".npz"))) {
        return 1;
    }
    return how;
}

const struct mln_scanner mln_scanner_zip = {
    .format = "zip",
    .summary =
        "torch, TorchScript, npz and other zip archives: every byte accounted for, members judged",
    .extensions = " .zip .npz .pt .pth .ckpt .bin ",
    .probe = zip_probe,
    .scan = zip_scan,
};
