/* lort_weights_read against restore: every tensor of models and containers in every type, slices of
 * rows, workers, small memory, damage, and calls that are wrong. */
#define _XOPEN_SOURCE 700
#include "tests/unit/main.h"

#include "loader/os/os.h"
#include "tests/unit/command_fixture.h"
#include "tests/unit/sized.h"
#include "tests/unit/weights_models.h"

static float tuned[SIZE];

static int fill_both(void **state)
{
    tiny_fill_rank(tuned, ROWS, COLS, 1, 3);
    fill(state);
    for (int i = 0; i < SIZE; i++)
        tuned[i] = low_rank[i] + 0.01f * tuned[i];
    return 0;
}

static const tiny_tensor fine[] = {{"w.f32", "F32", 2, {ROWS, COLS}, tuned},
                                   {"w.f16", "F16", 2, {ROWS, COLS}, tuned},
                                   {"norm", "F32", 1, {COLS}, NULL}};

static void write_both(void)
{
    write_models();
    tiny_safetensors(dir, "tuned", fine, sizeof fine / sizeof *fine);
}

static lort_options options_of(lort_residual residual)
{
    lort_options options = options_rank(2);
    options.residual = residual;
    options.force = true;
    if (residual == LORT_RESIDUAL_INT) {
        options.goal = LORT_GOAL_ERROR;
        options.value = 0.02;
    }
    return options;
}

static lort_weights *open_with(const char *name, const char *base, uint64_t memory)
{
    lort_weights *w;
    lort_error err = {0};
    char path[128];
    lort_run_options run = {RUN_SIZE, .memory_bytes = memory};
    if (base) {
        snprintf(path, sizeof path, "%s", tiny_path(dir, base));
        run.base = path;
    }
    assert_code(lort_weights_open(tiny_path(dir, name), &run, &w, &err), LORT_OK, &err);
    return w;
}

static lort_weights *open_name(const char *name) { return open_with(name, NULL, 0); }

static lort_tensor_info info_at(const lort_weights *w, uint64_t number)
{
    lort_tensor_info info;
    assert_int_equal(lort_weights_info(w, number, &info, NULL), LORT_OK);
    return info;
}

/* ---- what restore writes ---- */

static const struct {
    lort_read_type type;
    const char *name; /* NULL: OWN */
} types[] = {{LORT_READ_F32, "F32"},
             {LORT_READ_F16, "F16"},
             {LORT_READ_BF16, "BF16"},
             {LORT_READ_OWN, NULL}};

static lort_code restored(const char *container, const char *base, const char *tensor,
                          const char *dtype, lort_buffer *out)
{
    char path[128];
    lort_error err = {0};
    snprintf(path, sizeof path, "%s", base ? tiny_path(dir, base) : "");
    const lort_run_options run = {RUN_SIZE, .threads = 2, .base = base ? path : NULL};
    const lort_restore_options options = {RESTORE_SIZE, .run = &run, .dtype = dtype,
                                          .tensor = tensor, .force = true};
    lort_code code = restore_with(container, "one", &options, NULL, &err);
    *out = (lort_buffer){.alloc = &lort_alloc_heap};
    if (code)
        assert_code(code, LORT_E_NUMERIC, &err);
    else
        *out = file_read("one");
    return code;
}

/* Converts the bytes of a kept tensor as LoRT says it does: to f32, and rounded. NaN: a value that
 * does not fit. */
static lort_code converted(const lort_tensor_info *info, const lort_buffer *own, const char *dtype,
                           lort_buffer *out)
{
    const lort_dtype_info *from = lort_dtype_by_name(info->dtype, strlen(info->dtype)),
                          *to = lort_dtype_by_name(dtype, strlen(dtype));
    float *values = calloc(info->elements + 1, sizeof *values);
    lort_code code = LORT_OK;
    *out = (lort_buffer){.alloc = &lort_alloc_heap};
    from->decode(own->data, values, info->elements);
    uint8_t *bytes = calloc(info->elements + 1, to->block_bytes);
    lort_dtype_encoder(to->id)(values, bytes, info->elements);
    for (uint64_t i = 0; i < info->elements; i++) {
        float back;
        to->decode(bytes + i * to->block_bytes, &back, 1);
        if (isfinite(values[i]) && !isfinite(back))
            code = LORT_E_NUMERIC;
    }
    lort_put_bytes(out, bytes, info->elements * to->block_bytes);
    free(bytes);
    free(values);
    return code;
}

/* ---- checks ---- */

/* Reads into a buffer that is not aligned and has a byte behind its end. */
static void must_read(lort_weights *w, const lort_tensor_info *info, lort_read_type type,
                      int64_t first, int64_t count, unsigned threads, const uint8_t *want,
                      uint64_t bytes)
{
    uint8_t *memory = malloc(bytes + 2);
    lort_error err = {0};
    memset(memory, 0x5A, bytes + 2);
    assert_code(
        lort_weights_read(w, info->name, type, first, count, memory + 1, bytes, threads, &err),
        LORT_OK, &err);
    if (bytes && memcmp(memory + 1, want, bytes) != 0)
        fail_msg("%s, type %d, rows %lld + %lld, %u threads: other bytes", info->name, (int)type,
                 (long long)first, (long long)count, threads);
    assert_int_equal(memory[0], 0x5A);
    assert_int_equal(memory[bytes + 1], 0x5A);
    if (bytes) {
        char says[40];
        snprintf(says, sizeof says, "the rows take %llu", (unsigned long long)bytes);
        assert_code(
            lort_weights_read(w, info->name, type, first, count, memory, bytes - 1, threads, &err),
            LORT_E_USAGE, &err);
        assert_says(&err, says);
    }
    free(memory);
}

static void must_fail(lort_weights *w, const char *name, lort_read_type type, int64_t first,
                      int64_t count, lort_code code, const char *says)
{
    lort_error err = {0};
    uint8_t *memory = malloc(4 << 20);
    assert_code(lort_weights_read(w, name, type, first, count, memory, 4 << 20, 2, &err), code,
                &err);
    assert_says(&err, says);
    free(memory);
}

/* Whole, and some slices of rows. want: all bytes. */
static void check_bytes(lort_weights *w, const lort_tensor_info *info, lort_read_type type,
                        const lort_buffer *want)
{
    const int64_t rows = info->slices * info->rows;
    const uint64_t row = rows ? want->size / (uint64_t)rows : 0;
    for (unsigned threads = 1; threads <= 5; threads += threads == 1 ? 1 : 3)
        must_read(w, info, type, 0, LORT_ROWS_ALL, threads, want->data, want->size);
    if (!info->has_rows)
        return;
    const int64_t parts[][2] = {{0, 1}, {rows - 1, 1},        {rows / 2, rows - rows / 2},
                                {0, 0}, {rows / 3, rows / 3}, {rows, 0}};
    for (size_t i = 0; rows && i < sizeof parts / sizeof *parts; i++)
        must_read(w, info, type, parts[i][0], parts[i][1], 2,
                  want->data + row * (uint64_t)parts[i][0], row * (uint64_t)parts[i][1]);
    must_fail(w, info->name, type, 0, rows + 1, LORT_E_USAGE, "there are");
    must_fail(w, info->name, type, -1, 1, LORT_E_USAGE, "there are");
    must_fail(w, info->name, type, rows + 1, LORT_ROWS_ALL, LORT_E_USAGE, "there are");
}

static void check_kept(lort_weights *w, const lort_tensor_info *info, const lort_buffer *own)
{
    assert_int_equal(info->own_bytes, own->size);
    assert_string_equal(info->own_dtype, info->dtype);
    check_bytes(w, info, LORT_READ_OWN, own);
    for (unsigned t = 0; t < 3; t++) {
        lort_buffer want;
        if (!info->has_rows) {
            must_fail(w, info->name, types[t].type, 0, LORT_ROWS_ALL, LORT_E_USAGE, "no decoder");
            continue;
        }
        if (converted(info, own, types[t].name, &want))
            must_fail(w, info->name, types[t].type, 0, LORT_ROWS_ALL, LORT_E_NUMERIC,
                      "does not fit");
        else
            check_bytes(w, info, types[t].type, &want);
        lort_buffer_free(&want);
    }
}

/* Every tensor of a container equals what restore writes. Returns the tensors that are not kept. */
static int check_container(const char *name, const char *base)
{
    lort_weights *w = open_with(name, base, 0);
    int lossy = 0;
    for (uint64_t i = 0; i < lort_weights_count(w); i++) {
        const lort_tensor_info info = info_at(w, i);
        lort_buffer own, want;
        if (info.kept) {
            assert_int_equal(restored(name, base, info.name, NULL, &own), LORT_OK);
            check_kept(w, &info, &own);
            lort_buffer_free(&own);
            continue;
        }
        lossy++;
        for (unsigned t = 0; t < 4; t++) {
            if (restored(name, base, info.name, types[t].name, &want))
                must_fail(w, info.name, types[t].type, 0, LORT_ROWS_ALL, LORT_E_NUMERIC,
                          "does not fit");
            else
                check_bytes(w, &info, types[t].type, &want);
            if (!types[t].name && want.size)
                assert_int_equal(info.own_bytes, want.size);
            lort_buffer_free(&want);
        }
    }
    lort_weights_close(w);
    return lossy;
}

static void check_model(const char *name)
{
    lort_weights *w = open_name(name);
    for (uint64_t i = 0; i < lort_weights_count(w); i++) {
        const lort_tensor_info info = info_at(w, i);
        lort_buffer own = {.alloc = &lort_alloc_heap};
        lort_put_bytes(&own, lort_weights_address(w, i), info.bytes);
        assert_true(info.kept);
        check_kept(w, &info, &own);
        lort_buffer_free(&own);
    }
    lort_weights_close(w);
}

/* ---- tests ---- */

static void models(void **state)
{
    write_both();
    check_model("m");
    check_model("q.gguf");
    check_model("wide");
}

static void containers_of_every_kind(void **state)
{
    static const lort_residual residuals[] = {LORT_RESIDUAL_NONE, LORT_RESIDUAL_INT,
                                              LORT_RESIDUAL_TERNARY};
    write_both();
    for (unsigned i = 0; i < 3; i++) {
        lort_options options = options_of(residuals[i]);
        compress_to("m", "a.lort", &options);
        assert_int_equal(check_container("a.lort", NULL), 3);
        compress_to("wide", "w.lort", &options);
        assert_int_equal(check_container("w.lort", NULL), 1);
    }
    lort_options options = options_of(LORT_RESIDUAL_NONE);
    options.goal = LORT_GOAL_LOSSLESS;
    compress_to("q.gguf", "q.lort", &options);
    assert_int_equal(check_container("q.lort", NULL), 0);
    compress_to("wide", "w.lort", &options);
    assert_int_equal(check_container("w.lort", NULL), 0);
}

static void differences_to_a_base(void **state)
{
    char base[128];
    write_both();
    snprintf(base, sizeof base, "%s", tiny_path(dir, "m"));
    for (int lossless = 0; lossless < 2; lossless++) {
        lort_options options = options_of(LORT_RESIDUAL_INT);
        options.base = base;
        if (lossless) {
            options.goal = LORT_GOAL_LOSSLESS;
            options.residual = LORT_RESIDUAL_AUTO;
        }
        compress_to("tuned", "d.lort", &options);
        assert_int_equal(check_container("d.lort", "m"), lossless ? 0 : 2);
        lort_weights *w = open_name("d.lort"); /* without its base */
        must_fail(w, "w.f32", LORT_READ_F32, 0, LORT_ROWS_ALL, LORT_E_USAGE, "base");
        lort_weights_close(w);
    }
    lort_weights *w;
    lort_error err = {0};
    char path[128];
    snprintf(path, sizeof path, "%s", tiny_path(dir, "q.gguf"));
    assert_int_not_equal(lort_weights_open(tiny_path(dir, "d.lort"),
                                           &(lort_run_options){RUN_SIZE, .base = path}, &w, &err),
                         LORT_OK);
    assert_null(w);
}

static void containers_by_hand(void **state)
{
    static const char *const names[] = {"every-term.lort", "every-term-packed.lort", "trits.lort"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char from[64];
        snprintf(from, sizeof from, "tests/data/%s", names[i]);
        lort_buffer bytes = {.alloc = &lort_alloc_heap};
        FILE *in = fopen(from, "rb");
        uint8_t piece[4096];
        size_t n;
        assert_non_null(in);
        while ((n = fread(piece, 1, sizeof piece, in)) > 0)
            lort_put_bytes(&bytes, piece, n);
        fclose(in);
        tiny_write_buffer(dir, names[i], &bytes);
        assert_true(check_container(names[i], NULL) >= 1);
    }
}

static void wrong_calls_are_refused(void **state)
{
    lort_options options = options_of(LORT_RESIDUAL_INT);
    write_both();
    compress_to("m", "a.lort", &options);
    lort_weights *w = open_name("a.lort");
    must_fail(w, "nothing", LORT_READ_F32, 0, LORT_ROWS_ALL, LORT_E_USAGE, "no tensor 'nothing'");
    must_fail(w, "", LORT_READ_F32, 0, LORT_ROWS_ALL, LORT_E_USAGE, "no tensor ''");
    must_fail(w, "w.f32", (lort_read_type)9, 0, LORT_ROWS_ALL, LORT_E_USAGE, "read type 9");
    must_fail(w, "w.f32", LORT_READ_F32, 0, -2, LORT_E_USAGE, "there are");
    /* no error is wanted, no rows and no buffer */
    assert_int_equal(lort_weights_read(w, "x", LORT_READ_F32, 0, 0, NULL, 0, 0, NULL),
                     LORT_E_USAGE);
    assert_int_equal(lort_weights_read(w, "w.f32", LORT_READ_F32, 5, 0, NULL, 0, 0, NULL), LORT_OK);
    lort_weights_close(w);
}

/* A value of a coded tensor that F16 cannot hold. */
static void values_that_do_not_fit_are_refused(void **state)
{
    static float large[SIZE];
    for (int i = 0; i < SIZE; i++)
        large[i] = low_rank[i] * 1e6f;
    lort_options options = options_of(LORT_RESIDUAL_INT);
    tiny_safetensors(dir, "big", &(tiny_tensor){"w", "F32", 2, {ROWS, COLS}, large}, 1);
    compress_to("big", "b.lort", &options);
    lort_weights *w = open_name("b.lort");
    must_fail(w, "w", LORT_READ_F16, 0, LORT_ROWS_ALL, LORT_E_NUMERIC, "does not fit F16");
    lort_weights_close(w);
}

/* Streams and reads with one handle share the open slice and the buffers. */
static lort_code same_rows(void *ctx, uint64_t first, const float *values, uint64_t count)
{
    return memcmp((const float *)ctx + first, values, count * sizeof *values) ? LORT_E_DAMAGED
                                                                              : LORT_OK;
}

static void streams_and_reads_take_turns(void **state)
{
    lort_options options = options_of(LORT_RESIDUAL_INT);
    lort_error err = {0};
    float buffer[300];
    write_both();
    compress_to("m", "a.lort", &options);
    lort_weights *w = open_name("a.lort");
    for (uint64_t i = 0; i < 3 * lort_weights_count(w); i++) {
        const uint64_t number = i * 4 % lort_weights_count(w);
        const lort_tensor_info info = info_at(w, number);
        if (!info.has_rows || info.elements == 0)
            continue;
        float *values = calloc(info.elements, sizeof *values);
        assert_code(lort_weights_read(w, info.name, LORT_READ_F32, 0, LORT_ROWS_ALL, values,
                                      info.elements * sizeof *values, 1 + (unsigned)i % 3, &err),
                    LORT_OK, &err);
        assert_code(lort_weights_rows(w, number, 0, LORT_ROWS_ALL, buffer, sizeof buffer, same_rows,
                                      values, &err),
                    LORT_OK, &err);
        free(values);
    }
    lort_weights_close(w);
}

/* With any limit and any number of threads the bytes are the same, or LORT_E_MEMORY. Five threads
 * need no more memory than one. Close asserts that the budget is empty. */
static lort_code read_within(const char *name, uint64_t memory, unsigned threads, float *buffer)
{
    const uint64_t bytes = (uint64_t)ROWS * WIDE * sizeof(float);
    lort_weights *w;
    lort_error err = {0};
    memset(buffer, 0, bytes);
    lort_code code = lort_weights_open(
        tiny_path(dir, name), &(lort_run_options){RUN_SIZE, .memory_bytes = memory}, &w, &err);
    for (int turn = 0; turn < 2 && code == LORT_OK; turn++)
        code = lort_weights_read(w, "wide", LORT_READ_F32, 0, LORT_ROWS_ALL, buffer, bytes, threads,
                                 &err);
    lort_weights_close(w);
    if (code)
        assert_code(code, LORT_E_MEMORY, &err);
    return code;
}

static void memory_is_a_limit(void **state)
{
    const uint64_t bytes = (uint64_t)ROWS * WIDE * sizeof(float);
    lort_options options = options_of(LORT_RESIDUAL_INT);
    write_both();
    compress_to("wide", "a.lort", &options);
    float *one = malloc(bytes), *five = malloc(bytes);
    int refused = 0, done = 0;
    for (uint64_t memory = 64 << 10; memory < 28 << 20; memory += 500 << 10) {
        const lort_code code = read_within("a.lort", memory, 1, one);
        *(code ? &refused : &done) += 1;
        assert_int_equal(read_within("a.lort", memory, 5, five), code);
        assert_memory_equal(one, five, bytes);
    }
    assert_true(refused > 2 && done > 2);
    free(one);
    free(five);
}

static void damage_is_told(void **state)
{
    lort_options options = options_of(LORT_RESIDUAL_INT);
    int told = 0;
    write_both();
    compress_to("wide", "a.lort", &options);
    lort_buffer whole = file_read("a.lort");
    float *values = malloc((size_t)ROWS * WIDE * sizeof *values);
    for (uint64_t at = whole.size / 8; at < whole.size; at += whole.size / 8) {
        lort_buffer bad = file_read("a.lort");
        lort_weights *w;
        lort_error err = {0};
        bad.data[at] ^= 0x10;
        tiny_write_buffer(dir, "bad.lort", &bad);
        lort_code code = lort_weights_open(tiny_path(dir, "bad.lort"), NULL, &w, &err);
        for (unsigned threads = 1; threads <= 3 && w; threads += 2) {
            code = lort_weights_read(w, "wide", LORT_READ_F32, 0, LORT_ROWS_ALL, values,
                                     (uint64_t)ROWS * WIDE * sizeof *values, threads, &err);
            told += code == LORT_E_DAMAGED;
            if (code == LORT_E_DAMAGED) {
                assert_string_equal(err.tensor, "wide");
                assert_non_null(strstr(err.file, "bad.lort"));
            }
        }
        assert_true(code == LORT_OK || code == LORT_E_DAMAGED);
        lort_weights_close(w);
    }
    assert_true(told >= 4);
    free(values);
    lort_buffer_free(&whole);
}

static unsigned count_threads(void)
{
#if defined(_WIN32)
    return compat_thread_count();
#else
    unsigned count = 0;
    DIR *d = opendir("/proc/self/task");
    assert_non_null(d);
    while (readdir(d))
        count++;
    closedir(d);
    return count;
#endif
}

/* A large number of threads takes no more workers than there are pieces, and smaller work after it
 * keeps the pool. */
static void workers_are_as_many_as_the_work(void **state)
{
    const uint64_t bytes = (uint64_t)ROWS * WIDE * sizeof(float);
    float *values = malloc(bytes);
    lort_error err = {0};
    write_models();
    lort_weights *w = open_name("wide");
    const unsigned before = count_threads();
    assert_code(lort_weights_read(w, "wide", LORT_READ_F32, 0, LORT_ROWS_ALL, values, bytes,
                                  UINT32_MAX, &err),
                LORT_OK, &err);
    const unsigned all = count_threads();
    assert_true(all > before && all <= before + 8);
    assert_code(
        lort_weights_read(w, "wide", LORT_READ_F32, 0, 100, values, bytes, UINT32_MAX, &err),
        LORT_OK, &err);
    assert_int_equal(count_threads(), all);
    lort_weights_close(w);
    free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        command_test(models),
        command_test(containers_of_every_kind),
        command_test(differences_to_a_base),
        command_test(containers_by_hand),
        command_test(wrong_calls_are_refused),
        command_test(values_that_do_not_fit_are_refused),
        command_test(streams_and_reads_take_turns),
        command_test(memory_is_a_limit),
        command_test(damage_is_told),
        command_test(workers_are_as_many_as_the_work),
    };
    return run_chosen(tests, fill_both, empty);
}
