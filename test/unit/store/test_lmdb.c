/* SPDX-License-Identifier: Apache-2.0 */
/* The lmdb engine: the conformance suite, its lock, its format, a full disk, and kill -9. */
#include "conformance.h"

#include <errno.h>
#include <lmdb.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESERVE (1u << 20)

static struct mln_err open_dir(struct mln_cx *cx, const char *dir, struct mln_store **ret)
{
    struct mln_store_config config = {
        .dir = dir, .reserve_bytes = RESERVE, .map_bytes = (uint64_t)1 << 30};
    return mln_store_open_lmdb(cx, &config, ret);
}

static void world_open(struct world *w)
{
    kit_tmpdir(w->dir);
    kit_ok(w->cx, open_dir(w->cx, w->dir, &w->store));
}

static void world_close(struct world *w)
{
    mln_store_close(w->store);
    kit_rmtree(w->dir);
}

static void world_reopen(struct world *w)
{
    mln_store_close(w->store);
    kit_ok(w->cx, open_dir(w->cx, w->dir, &w->store));
}

static void test_one_process(void **state)
{
    struct world *w = *state;
    struct mln_store *other = NULL;
    kit_refused_with(w->cx, open_dir(w->cx, w->dir, &other), MLN_E_EXISTS,
                     "open in another process");
    assert_null(other);
    put_one(w, MLN_BYTES("still"), MLN_BYTES("fine"));
}

/* Beside the one that has it open: sees what is committed, changes nothing. */
static void test_reader(void **state)
{
    struct world *w = *state;
    struct mln_store *reader = NULL;
    struct mln_store_config config = {.dir = w->dir, .is_reader = true};
    put_one(w, MLN_BYTES("a"), MLN_BYTES("1"));
    kit_ok(w->cx, mln_store_open_lmdb(w->cx, &config, &reader));
    struct world other = {.cx = w->cx, .store = reader};
    assert_true(mln_bytes_is(read_one(&other, MLN_BYTES("a"), NULL), "1"));
    put_one(w, MLN_BYTES("a"), MLN_BYTES("2"));
    assert_true(mln_bytes_is(read_one(&other, MLN_BYTES("a"), NULL), "2"));
    struct mln_write write = put_of(MLN_BYTES("a"), MLN_BYTES("3"));
    kit_refused(w->cx, commit_writes(&other, &write, 1, NULL), MLN_E_IO);
    mln_store_close(reader);
    assert_true(mln_bytes_is(read_one(w, MLN_BYTES("a"), NULL), "2"));
    char path[KIT_PATH_MAX];
    struct stat st;
    config.dir = kit_path(path, w->dir, "none");
    kit_refused_with(w->cx, mln_store_open_lmdb(w->cx, &config, &reader), MLN_E_NOT_FOUND, "no store in");
    assert_int_not_equal(stat(path, &st), 0);
}

static void test_files(void **state)
{
    struct world *w = *state;
    static const char *const names[] = {"data.mdb", "lock.mdb", "lock", "reserve"};
    char path[KIT_PATH_MAX];
    struct stat st;
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        assert_int_equal(stat(kit_path(path, w->dir, names[i]), &st), 0);
        assert_int_equal(st.st_mode & 077, 0);
    }
    assert_int_equal(st.st_size, RESERVE);
    assert_true((uint64_t)st.st_blocks * 512 >= RESERVE); /* truly allocated */
    struct mln_store_stat stat_now;
    mln_store_stat(w->store, &stat_now);
    assert_true(stat_now.bytes > 0);
}

/* Change the store's first row behind its back. */
static void set_meta(const char *dir, const void *meta, size_t n)
{
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    MDB_dbi dbi = 0;
    uint8_t key = 0;
    uint8_t value[32];
    mln_copy(value, meta, n);
    MDB_val k = {1, &key}, v = {n, value};
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, dir, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    assert_int_equal(n == 0 ? mdb_del(txn, dbi, &k, NULL) : mdb_put(txn, dbi, &k, &v, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static void test_format(void **state)
{
    struct world *w = *state;
    put_one(w, MLN_BYTES("row"), MLN_BYTES("v"));
    mln_store_close(w->store);
    w->store = NULL;
    static const uint8_t good[20] = {0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9};
    static const uint8_t newer[20] = {0, 0, 0, 2}, far[4] = {0x01, 0, 0, 0}, none[20] = {0};
    const struct {
        const char *name;
        const uint8_t *meta;
        size_t n;
        enum mln_code want;
        const char *part;
    } rows[] = {
        {"newer", newer, 20, MLN_E_UNSUPPORTED, "format 2, this program reads formats up to 1: start the version that wrote it"},
        {"newer, another row", far, 4, MLN_E_UNSUPPORTED, "format 16777216"},
        {"older than any", none, 20, MLN_E_CORRUPT, "format 0"},
        {"cut short", good, 3, MLN_E_CORRUPT, "cut short"},
        {"wrong length", good, 12, MLN_E_CORRUPT, "wrong length"},
        {"missing", good, 0, MLN_E_CORRUPT, "missing"},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        set_meta(w->dir, rows[i].meta, rows[i].n);
        kit_expect_at(w->cx, open_dir(w->cx, w->dir, &w->store), rows[i].want, rows[i].part,
                      rows[i].name, __FILE__, __LINE__);
    }
    set_meta(w->dir, good, 20);
    kit_ok(w->cx, open_dir(w->cx, w->dir, &w->store));
    assert_int_equal(put_one(w, MLN_BYTES("row"), MLN_BYTES("v")), 10);
}

static void test_damaged_files(void **state)
{
    struct world *w = *state;
    char path[KIT_PATH_MAX];
    mln_store_close(w->store);
    w->store = NULL;
    uint8_t junk[8192];
    mln_fill(junk, 0x5a, sizeof(junk));
    kit_write_file(kit_path(path, w->dir, "data.mdb"), mln_bytes_at(junk, sizeof(junk)));
    kit_refused(w->cx, open_dir(w->cx, w->dir, &w->store), MLN_E_CORRUPT);
    struct mln_store_config config = {.dir = path}; /* a file, not a folder */
    struct mln_err err = mln_store_open_lmdb(w->cx, &config, &w->store);
    assert_true(mln_failed(err));
    assert_null(w->store);
}

static struct mln_err open_and_close(struct mln_cx *cx, void *arg)
{
    struct mln_store *store = NULL;
    MLN_TRY(open_dir(cx, arg, &store));
    mln_store_close(store);
    return MLN_OK;
}

static void test_open_faults(void **state)
{
    struct world *w = *state;
    mln_store_close(w->store);
    w->store = NULL;
    assert_true(mln_each_fault(MLN_FAULT_ALLOC, open_and_close, w->dir) > 0);
    kit_ok(w->cx, open_dir(w->cx, w->dir, &w->store));
}

/* ---- space ---- */

static size_t fill_up(struct world *w, enum mln_code *ret_code)
{
    uint8_t value[8000] = {1};
    for (size_t i = 0; i < 100000; i++) {
        char key[32];
        snprintf(key, sizeof(key), "fill/%08zu", i);
        struct mln_write write = put_of(mln_bytes_of(key), mln_bytes_at(value, sizeof(value)));
        struct mln_err err = commit_writes(w, &write, 1, NULL);
        mln_cx_clear(w->cx);
        if (mln_failed(err)) {
            *ret_code = (enum mln_code)err.code;
            return i;
        }
    }
    fail_msg("the store never fills up");
    return 0;
}

/*
 * Full: ordinary batches are refused, relief works, deleting makes room, and ordinary ones work
 * again.
 */
static void check_full_and_relief(struct world *w)
{
    enum mln_code code = MLN_E_OK;
    size_t n = fill_up(w, &code);
    assert_int_equal(code, MLN_E_FULL);
    assert_true(n > 10);
    struct mln_store_stat stat_now;
    mln_store_stat(w->store, &stat_now);
    assert_true(stat_now.is_full);
    uint8_t value[8000] = {2};
    struct mln_write write = put_of(MLN_BYTES("relief"), mln_bytes_at(value, sizeof(value)));
    struct mln_batch relief = {.writes = &write, .n = 1, .is_relief = true};
    kit_ok(w->cx, mln_store_commit(w->cx, w->store, &relief));
    assert_true(is_there(w, MLN_BYTES("relief")));
    kit_refused(w->cx, commit_writes(w, &write, 1, NULL),
                MLN_E_FULL); /* the rest of the reserve is kept */
    for (size_t i = 0; i < n; i++) {
        char key[32];
        snprintf(key, sizeof(key), "fill/%08zu", i);
        struct mln_write away = delete_of(mln_bytes_of(key));
        struct mln_batch prune = {.writes = &away, .n = 1, .is_relief = true};
        kit_ok(w->cx, mln_store_commit(w->cx, w->store, &prune));
    }
    kit_ok(w->cx, commit_writes(w, &write, 1, NULL));
    mln_store_stat(w->store, &stat_now);
    assert_false(stat_now.is_full);
}

static void test_map_full(void **state)
{
    struct world *w = *state;
    mln_store_close(w->store);
    struct mln_store_config config = {
        .dir = w->dir, .reserve_bytes = RESERVE, .map_bytes = 1u << 20};
    kit_ok(w->cx, mln_store_open_lmdb(w->cx, &config, &w->store));
    check_full_and_relief(w);
}

/* A batch that cannot fit does not take the others of its group with it. */
static void test_large_batch_in_a_group(void **state)
{
    struct world *w = *state;
    mln_store_close(w->store);
    struct mln_store_config config = {
        .dir = w->dir, .reserve_bytes = RESERVE, .map_bytes = 1u << 20};
    kit_ok(w->cx, mln_store_open_lmdb(w->cx, &config, &w->store));
    uint8_t *big = mln_new(w->cx, 4u << 20);
    struct mln_write large = put_of(MLN_BYTES("large"), mln_bytes_at(big, 4u << 20));
    struct mln_write small[10];
    struct mln_batch batches[11];
    char keys[10][8];
    sem_t done;
    sem_init(&done, 0, 0);
    for (size_t i = 0; i < 11; i++) {
        if (i < 10) {
            snprintf(keys[i], sizeof(keys[i]), "s%zu", i);
            small[i] = put_of(mln_bytes_of(keys[i]), MLN_BYTES("x"));
        }
        batches[i] = (struct mln_batch){
            .writes = i == 10 ? &large : &small[i], .n = 1, .done = one_is_done, .arg = &done};
    }
    for (size_t i = 0; i < 11; i++) {
        mln_store_submit(w->store, &batches[i == 4 ? 10 : i == 10 ? 4 : i]);
    }
    for (size_t i = 0; i < 11; i++) {
        sem_wait(&done);
    }
    for (size_t i = 0; i < 11; i++) {
        kit_expect(w->cx, "batch", batches[i].result, i == 10 ? MLN_E_FULL : MLN_E_OK);
    }
    sem_destroy(&done);
}

/* The file system refuses to let the file grow: the same answer as a full disk. */
static void test_file_limit(void **state)
{
    struct world *w = *state;
    struct rlimit old;
    getrlimit(RLIMIT_FSIZE, &old);
    struct rlimit low = {.rlim_cur = 2u << 20, .rlim_max = old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &low);
    enum mln_code code = MLN_E_OK;
    size_t n = fill_up(w, &code);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(code, MLN_E_FULL);
    assert_true(n > 10);
    put_one(w, MLN_BYTES("again"), MLN_BYTES("x"));
    world_reopen(w);
    assert_true(is_there(w, MLN_BYTES("fill/00000005")) && is_there(w, MLN_BYTES("again")));
}

/* ---- a disk that is truly full ---- */

static bool try_put(struct mln_store *store, const char *key, size_t n, bool is_relief,
                    enum mln_code want)
{
    static uint8_t value[64 * 1024];
    struct mln_write write = put_of(mln_bytes_of(key), mln_bytes_at(value, n));
    struct mln_batch batch = {.writes = &write, .n = 1, .is_relief = is_relief};
    return mln_is(mln_store_commit(NULL, store, &batch), want);
}

static bool try_delete(struct mln_store *store, const char *key)
{
    struct mln_write write = delete_of(mln_bytes_of(key));
    struct mln_batch batch = {.writes = &write, .n = 1, .is_relief = true};
    return !mln_failed(mln_store_commit(NULL, store, &batch));
}

/* In a child with a small file system of its own; the exit status names the step that failed. */
static int fill_disk(const char *dir)
{
    struct mln_cx cx;
    struct mln_store *store = NULL;
    char key[32];
    mln_cx_init(&cx, NULL);
    if (mln_failed(open_dir(&cx, dir, &store))) {
        return 10;
    }
    size_t n = 0;
    do {
        snprintf(key, sizeof(key), "fill/%06zu", n++);
    } while (n < 5000 && try_put(store, key, 4000, false, MLN_E_OK));
    struct mln_store_stat stat_now;
    mln_store_stat(store, &stat_now);
    if (n >= 5000 || !stat_now.is_full || !try_put(store, "more", 60000, false, MLN_E_FULL)) {
        return 11;
    }
    if (!try_put(store, "relief", 60000, true, MLN_E_OK) ||
        !try_put(store, "more", 60000, false, MLN_E_FULL)) {
        return 12; /* relief works, and leaves nothing to others */
    }
    for (size_t i = 0; i + 1 < n; i++) {
        snprintf(key, sizeof(key), "fill/%06zu", i);
        if (!try_delete(store, key)) {
            return 13;
        }
    }
    if (!try_put(store, "again", 4000, false, MLN_E_OK)) {
        return 14; /* pages came free */
    }
    mln_store_close(store);
    if (mln_failed(open_dir(&cx, dir, &store))) {
        return 15; /* opens on a full disk, with less of a reserve */
    }
    bool is_kept = try_put(store, "again", 4000, false, MLN_E_OK);
    mln_store_close(store);
    return is_kept ? 0 : 16;
}

static void test_disk_full(void **state)
{
    struct world *w = *state;
    char dir[KIT_PATH_MAX];
    kit_tmpdir(dir);
    pid_t pid = fork();
    if (pid == 0) {
        bool is_alone =
            geteuid() == 0 ? unshare(CLONE_NEWNS) == 0 : unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0;
        bool is_private = is_alone && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
        if (!is_private || mount("none", dir, "tmpfs", 0, "size=6m") != 0) {
            _exit(99);
        }
        _exit(fill_disk(dir));
    }
    int status = 0;
    waitpid(pid, &status, 0);
    kit_rmtree(dir);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 99) {
        print_message("no small file system can be mounted here\n");
        skip();
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_non_null(w);
}

/* ---- kill -9 ---- */

#define CHILD_WRITERS 4

struct child {
    struct mln_store *store;
    int fd;
    uint32_t writer;
};

static void *write_for_ever(void *arg)
{
    struct child *c = arg;
    uint8_t value[700] = {0};
    for (uint32_t i = 0;; i++) {
        uint8_t message[8];
        mln_put_u32be(message, c->writer);
        mln_put_u32be(message + 4, i);
        mln_copy(value, message, 8);
        uint8_t key[5] = {'n', (uint8_t)c->writer, (uint8_t)(i >> 16), (uint8_t)(i >> 8),
                          (uint8_t)i};
        uint8_t twin[5] = {'t', key[1], key[2], key[3], key[4]};
        struct mln_write writes[] = {
            put_of(mln_bytes_at(key, 5), mln_bytes_at(value, sizeof(value))),
            put_of(mln_bytes_at(twin, 5), mln_bytes_at(value, 8))};
        struct mln_batch batch = {.writes = writes, .n = 2};
        if (mln_failed(mln_store_commit(NULL, c->store, &batch)) || write(c->fd, message, 8) != 8) {
            _exit(3);
        }
    }
    return NULL;
}

static void child_main(const char *dir, int fd)
{
    struct mln_cx cx;
    struct mln_store *store = NULL;
    mln_cx_init(&cx, NULL);
    if (mln_failed(open_dir(&cx, dir, &store))) {
        _exit(4);
    }
    struct child all[CHILD_WRITERS];
    pthread_t threads[CHILD_WRITERS];
    for (uint32_t i = 0; i < CHILD_WRITERS; i++) {
        all[i] = (struct child){store, fd, i};
        pthread_create(&threads[i], NULL, write_for_ever, &all[i]);
    }
    pthread_join(threads[0], NULL);
    _exit(5);
}

/* Returns how many commits were acknowledged; upto[writer] is one past the last of each. */
static size_t run_and_kill(const char *dir, int64_t life_ns, uint32_t *upto)
{
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(pipes[0]);
        child_main(dir, pipes[1]);
    }
    close(pipes[1]);
    mln_sleep_ns(life_ns);
    kill(pid, SIGKILL);
    int status = 0;
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    size_t n = 0;
    uint8_t message[8];
    while (read(pipes[0], message, 8) == 8) {
        upto[mln_get_u32be(message)] = mln_get_u32be(message + 4) + 1;
        n++;
    }
    close(pipes[0]);
    return n;
}

/*
 * Every acknowledged batch is there, whole; of one that was not acknowledged, both halves or none.
 */
static void check_survivors(struct world *w, const uint32_t *upto)
{
    for (uint32_t writer = 0; writer < CHILD_WRITERS; writer++) {
        for (uint32_t i = 0; i <= upto[writer]; i++) {
            uint8_t key[5] = {'n', (uint8_t)writer, (uint8_t)(i >> 16), (uint8_t)(i >> 8),
                              (uint8_t)i};
            uint8_t twin[5] = {'t', key[1], key[2], key[3], key[4]};
            bool has = is_there(w, mln_bytes_at(key, 5));
            assert_int_equal(has, is_there(w, mln_bytes_at(twin, 5)));
            assert_true(has || i == upto[writer]);
        }
    }
}

static void test_kill(void **state)
{
    struct world *w = *state;
    mln_store_close(w->store);
    w->store = NULL;
    size_t total = 0;
    for (int64_t round = 0; round < 6; round++) {
        uint32_t upto[CHILD_WRITERS] = {0};
        char dir[KIT_PATH_MAX];
        kit_tmpdir(dir);
        total += run_and_kill(dir, 40000000 + 37000000 * round, upto);
        kit_ok(w->cx, open_dir(w->cx, dir, &w->store));
        check_survivors(w, upto);
        put_one(w, MLN_BYTES("goes on"), MLN_BYTES("x"));
        mln_store_close(w->store);
        w->store = NULL;
        kit_rmtree(dir);
    }
    assert_true(total > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MLN_CONFORMANCE_TESTS,          WORLD_TEST(test_one_process),
        WORLD_TEST(test_reader), WORLD_TEST(test_files),         WORLD_TEST(test_format),
        WORLD_TEST(test_damaged_files), WORLD_TEST(test_open_faults),
        WORLD_TEST(test_map_full),      WORLD_TEST(test_large_batch_in_a_group),
        WORLD_TEST(test_file_limit),    WORLD_TEST(test_disk_full),
        WORLD_TEST(test_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
