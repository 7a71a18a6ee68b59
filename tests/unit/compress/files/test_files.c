#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/command_fixture.h"
#include "tests/unit/main.h"
#include "tests/unit/sized.h"

enum { ROWS = 140, COLS = 72, SIZE = ROWS * COLS, WIDE = 9000 };

static float low_rank[SIZE], other[SIZE], stack[3 * SIZE], *wide;

static int fill(void **state)
{
    wide = calloc((size_t)ROWS * WIDE, sizeof *wide);
    assert_non_null(wide);
    tiny_fill_rank(wide, ROWS, WIDE, 2, 9);
    tiny_fill_rank(low_rank, ROWS, COLS, 3, 1);
    memcpy(other, low_rank, sizeof other);
    for (int i = 0; i < SIZE; i++)
        other[i] += 0.01f * (float)(i % 7);
    tiny_fill_rank(stack, ROWS, COLS, 2, 5);
    tiny_fill_noise(stack + SIZE, SIZE, 6);
    stack[SIZE + 70] = NAN; /* this slice is kept; the last one is zero */
    return 0;
}

static int empty(void **state)
{
    free(wide);
    return 0;
}

static const tiny_tensor model[] = {
    {"w.f32", "F32", 2, {ROWS, COLS}, low_rank},
    {"w.f16", "F16", 2, {ROWS, COLS}, low_rank},
    {"again", "F16", 2, {ROWS, COLS}, low_rank}, /* the bytes of w.f16 */
    {"w.bf16", "BF16", 2, {ROWS, COLS}, low_rank},
    {"experts", "F32", 3, {3, ROWS, COLS}, stack},
    {"wide", "F16", 2, {ROWS, WIDE}, NULL}, /* several blocks a row, several bands */
    {"norm", "F32", 1, {COLS}, NULL},
    {"none", "F16", 2, {0, 5}, NULL},
    {"ids", "I32", 1, {3}, NULL},
    {"f64", "F64", 2, {ROWS, COLS}, low_rank},
};
static const tiny_tensor tuned[] = {{"w.f32", "F32", 2, {ROWS, COLS}, other},
                                    {"new", "F32", 2, {ROWS, COLS}, low_rank}};
#define MODEL (sizeof model / sizeof *model)

static void copy_model(tiny_tensor *out)
{
    memcpy(out, model, sizeof model);
    out[5].values = wide;
}

static void make_file(void)
{
    tiny_tensor tensors[MODEL];
    copy_model(tensors);
    tiny_safetensors(dir, "m", tensors, MODEL);
}

/* Without tensors of equal bytes, for containers that are written again. */
static void make_plain(void)
{
    static const tiny_tensor plain[] = {{"w.f32", "F32", 2, {ROWS, COLS}, low_rank},
                                        {"norm", "F32", 1, {COLS}, NULL}};
    tiny_safetensors(dir, "m", plain, 2);
}

static void make_gguf(void)
{
    tiny_tensor tensors[MODEL];
    copy_model(tensors);
    tiny_gguf(dir, "m", tensors, 7, NULL);
}

/* Two shards, index.json, two side files. */
static void make_shards(void)
{
    static const char *const pairs[] = {"w.f32", "x-1.safetensors", "w.f16", "x-2.safetensors",
                                        NULL};
    assert_int_equal(mkdir(tiny_path(dir, "m"), 0755), 0);
    tiny_safetensors(dir, "m/x-1.safetensors", model, 1);
    tiny_safetensors(dir, "m/x-2.safetensors", model + 1, 1);
    tiny_index(dir, "m/x.safetensors.index.json", pairs);
    tiny_text(dir, "m/config.json", "{}");
    tiny_text(dir, "m/empty.txt", "");
}

static void make_tuned(void)
{
    tiny_safetensors(dir, "base", model, 1);
    tiny_safetensors(dir, "m", tuned, 2);
}

/* ---- a file beside its ranges ---- */

typedef struct bytes {
    uint8_t *data;
    uint64_t size;
} bytes;

/* The caller frees data. */
static bytes load(const char *path)
{
    struct stat st;
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    assert_int_equal(fstat(fileno(in), &st), 0);
    bytes b = {malloc((size_t)st.st_size + 1), (uint64_t)st.st_size};
    assert_non_null(b.data);
    assert_int_equal(fread(b.data, 1, b.size, in), b.size);
    fclose(in);
    return b;
}

static void check_range(lort_files *files, uint64_t number, const bytes *want, uint64_t at,
                        uint64_t n)
{
    lort_error err = {0};
    uint8_t *got = malloc(n + 1); /* exact, so that a sanitizer sees an overflow */
    got[n] = 77;
    assert_code(lort_files_read(files, number, at, got, n, &err), LORT_OK, &err);
    if (memcmp(got, want->data + at, n) != 0)
        fail_msg("file %d: bytes %d to %d differ", (int)number, (int)at, (int)(at + n));
    assert_int_equal(got[n], 77);
    free(got);
}

static void check_pieces(lort_files *files, uint64_t number, const bytes *want, uint64_t piece)
{
    for (uint64_t at = 0; at < want->size; at += piece)
        check_range(files, number, want, at, want->size - at < piece ? want->size - at : piece);
}

static void check_random(lort_files *files, uint64_t number, const bytes *want)
{
    uint64_t seed = 7;
    for (int i = 0; i < 30 && want->size; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const uint64_t at = (seed >> 20) % want->size, most = want->size - at;
        check_range(files, number, want, at, (seed >> 40) % (i % 4 ? 5000 : most + 1) % (most + 1));
    }
}

static void check_all(lort_files *files, const char *restored)
{
    lort_error err = {0};
    lort_file_entry entry;
    const uint64_t count = lort_files_count(files);
    for (uint64_t n = 0; n < count; n++) {
        char path[700];
        assert_code(lort_files_info(files, n, &entry, &err), LORT_OK, &err);
        snprintf(path, sizeof path, "%s/%s", restored, entry.name);
        bytes want = load(count > 1 ? path : restored);
        assert_int_equal(entry.bytes, want.size);
        check_range(files, n, &want, 0, want.size);
        check_range(files, n, &want, want.size, 0);
        check_random(files, n, &want);
        check_pieces(files, n, &want, want.size < 10000 ? 7 : 65537);
        check_pieces(files, n, &want, 1 << 20);
        assert_int_equal(lort_files_read(files, n, want.size, &want, 1, &err), LORT_E_USAGE);
        assert_int_equal(lort_files_read(files, n, 1, &want, UINT64_MAX, &err), LORT_E_USAGE);
        free(want.data);
    }
    assert_int_equal(lort_files_info(files, count, &entry, &err), LORT_E_USAGE);
    assert_null(entry.name);
}

static lort_files *open_with(const char *name, const char *dtype, const char *base,
                             const char *tensor, unsigned threads)
{
    lort_files *files;
    lort_files_options options;
    lort_error err = {0};
    lort_files_options_init(&options);
    options.threads = threads;
    options.dtype = dtype;
    options.base = base;
    options.tensor = tensor;
    assert_code(lort_files_open(tiny_path(dir, name), &options, &files, &err), LORT_OK, &err);
    return files;
}

/* ---- every file of every container ---- */

static void check_container(const char *name, const char *base)
{
    static const char *const types[] = {NULL, "F32", "F16", "BF16"};
    char out[8];
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        lort_error err = {0};
        snprintf(out, sizeof out, "out%d", (int)t);
        const lort_run_options run = {RUN_SIZE, .threads = 2, .base = base};
        const lort_restore_options options = {RESTORE_SIZE, .run = &run, .dtype = types[t]};
        assert_code(restore_with(name, out, &options, NULL, &err), LORT_OK, &err);
        lort_files *files = open_with(name, types[t], base, NULL, t % 2 ? 1 : 3);
        check_all(files, tiny_path(dir, out));
        lort_files_close(files);
    }
}

static void check_model(void (*make)(void), lort_residual residual)
{
    lort_options options = options_rank(2);
    options.residual = residual;
    if (residual == LORT_RESIDUAL_INT) {
        options.goal = LORT_GOAL_ERROR;
        options.value = 0.02;
    }
    make();
    compress_to("m", "a.lort", &options);
    check_container("a.lort", NULL);
}

static void ranges_of_factors(void **state) { check_model(make_file, LORT_RESIDUAL_NONE); }
static void ranges_of_integers(void **state) { check_model(make_file, LORT_RESIDUAL_INT); }
static void ranges_of_gguf(void **state) { check_model(make_gguf, LORT_RESIDUAL_INT); }
static void ranges_of_trits(void **state) { check_model(make_gguf, LORT_RESIDUAL_TERNARY); }
static void ranges_of_shards(void **state) { check_model(make_shards, LORT_RESIDUAL_NONE); }

static void ranges_of_a_difference(void **state)
{
    char base[700];
    lort_options options = options_rank(2);
    snprintf(base, sizeof base, "%s", tiny_path(dir, "base"));
    options.goal = LORT_GOAL_ERROR;
    options.value = 0.1;
    options.residual = LORT_RESIDUAL_INT;
    options.base = base;
    make_tuned();
    compress_to("m", "a.lort", &options);
    check_container("a.lort", base);
    lort_files *files;
    lort_error err = {0};
    assert_int_equal(lort_files_open(tiny_path(dir, "a.lort"), NULL, &files, &err), LORT_E_USAGE);
    assert_null(files);
}

static void one_tensor_is_a_file(void **state)
{
    lort_options options = options_rank(2);
    lort_error err = {0};
    make_file();
    compress_to("m", "a.lort", &options);
    for (size_t i = 0; i < MODEL; i++) {
        const lort_restore_options restore = {RESTORE_SIZE, .tensor = model[i].name, .force = true};
        assert_code(restore_with("a.lort", "out", &restore, NULL, &err), LORT_OK, &err);
        lort_files *files = open_with("a.lort", NULL, NULL, model[i].name, 2);
        check_all(files, tiny_path(dir, "out"));
        lort_files_close(files);
    }
}

/* ---- refusals ---- */

static void refuse(const char *name, const lort_files_options *options, lort_code code,
                   const char *words)
{
    lort_files *files;
    lort_error err = {0};
    assert_code(lort_files_open(tiny_path(dir, name), options, &files, &err), code, &err);
    assert_null(files);
    assert_says(&err, words);
}

static void what_cannot_be_read_is_refused(void **state)
{
    lort_options options = options_rank(2);
    make_file();
    compress_to("m", "a.lort", &options);
    refuse("none", NULL, LORT_E_INPUT, "none");
    refuse("m", NULL, LORT_E_INPUT, "not a .lort");
    refuse("a.lort", &(lort_files_options){.size = sizeof(lort_files_options), .dtype = "Q8_0"},
           LORT_E_USAGE, "--dtype Q8_0");
    refuse("a.lort", &(lort_files_options){.size = sizeof(lort_files_options), .tensor = "x"},
           LORT_E_USAGE, "no tensor 'x'");
    refuse("a.lort",
           &(lort_files_options){.size = sizeof(lort_files_options), .memory_bytes = 1 << 20},
           LORT_E_MEMORY, "smallest --memory");
    lort_files_close(NULL);
    /* without a record of the error the code is the same */
    lort_files *files;
    assert_int_equal(lort_files_open(tiny_path(dir, "none"), NULL, &files, NULL), LORT_E_INPUT);
    assert_int_equal(lort_files_open(tiny_path(dir, "a.lort"), NULL, &files, NULL), LORT_OK);
    lort_file_entry entry;
    assert_int_equal(lort_files_info(files, 0, &entry, NULL), LORT_OK);
    lort_error err = {0};
    assert_int_equal(lort_files_read(files, 0, UINT64_MAX, &entry, 2, &err), LORT_E_USAGE);
    assert_non_null(strstr(err.message, "2 bytes from byte 18446744073709551615 on"));
    lort_files_close(files);
}

/* ---- damage ---- */

static void no_edit(const lort_part *part, const lort_chunk *chunk, uint8_t *b, uint64_t n) {}

/* The number of the part of a tensor, and the place of its first stored byte. */
static uint64_t part_number(const char *name, uint64_t *stored)
{
    lort_archive *archive;
    lort_error err = {0};
    assert_code(lort_archive_open(tiny_path(dir, "a.lort"), &lort_alloc_heap, &archive, &err),
                LORT_OK, &err);
    const lort_part *part = lort_archive_find(archive, name, strlen(name));
    const uint64_t number = part->number;
    *stored = lort_archive_index(archive)->entries[number].record_offset - part->payload_bytes;
    lort_archive_close(archive);
    return number;
}

/* Reads files in pieces until one fails. Returns the code. */
static lort_code first_failure(const char *name, uint64_t piece, lort_error *err)
{
    lort_files *files = open_with(name, NULL, NULL, NULL, 2);
    lort_file_entry entry;
    lort_code code = LORT_OK;
    uint8_t *buffer = malloc(piece);
    assert_int_equal(lort_files_info(files, 0, &entry, err), LORT_OK);
    for (uint64_t at = 0; at < entry.bytes && code == LORT_OK; at += piece)
        code = lort_files_read(files, 0, at, buffer,
                               entry.bytes - at < piece ? entry.bytes - at : piece, err);
    lort_files_close(files);
    free(buffer);
    return code;
}

static void flip(const char *name, uint64_t at)
{
    bytes all = load(tiny_path(dir, name));
    all.data[at] ^= 1;
    tiny_write(dir, name, all.data, all.size);
    free(all.data);
}

static void damage_is_found_and_named(void **state)
{
    static const char *const names[] = {"w.f32", "w.bf16", "norm"};
    lort_options options = options_rank(2);
    make_file();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        lort_error err = {0};
        uint64_t stored;
        unlink(tiny_path(dir, "a.lort"));
        compress_to("m", "a.lort", &options);
        part_number(names[i], &stored);
        flip("a.lort", stored + 3);
        assert_code(first_failure("a.lort", 1000, &err), LORT_E_DAMAGED, &err);
        assert_says(&err, names[i]);
        assert_string_equal(err.tensor, names[i]);
        assert_non_null(strstr(err.file, "a.lort"));
        assert_code(first_failure("a.lort", 64 << 20, &err), LORT_E_DAMAGED, &err);
    }
}

/* Chunks whose hashes are right and whose sum is not that of the source: only reads in order see
 * it. */
static void the_source_is_checked_by_reads_in_order(void **state)
{
    lort_options options = options_rank(2);
    lort_error err = {0};
    uint64_t stored;
    make_plain();
    compress_to("m", "a.lort", &options);
    wrong_source = part_number("norm", &stored);
    rewrite_container("a.lort", "b.lort", no_edit);
    wrong_source = UINT64_MAX;
    assert_code(first_failure("b.lort", 1000, &err), LORT_E_DAMAGED, &err);
    assert_says(&err, "norm: the decoded bytes do not have the hash of the source");
    lort_files *files = open_with("b.lort", NULL, NULL, "norm", 1);
    uint8_t buffer[COLS * sizeof(float)];
    assert_code(lort_files_read(files, 0, 4, buffer, sizeof buffer - 4, &err), LORT_OK, &err);
    assert_code(lort_files_read(files, 0, 0, buffer, 8, &err), LORT_OK, &err);
    assert_code(lort_files_read(files, 0, 12, buffer, sizeof buffer - 12, &err), LORT_OK, &err);
    assert_code(lort_files_read(files, 0, 0, buffer, 8, &err), LORT_OK, &err);
    assert_code(lort_files_read(files, 0, 8, buffer, sizeof buffer - 8, &err), LORT_E_DAMAGED,
                &err);
    lort_files_close(files);
}

static void factors_that_are_no_numbers_are_refused(void **state)
{
    lort_options options = options_rank(2);
    lort_error err = {0};
    make_plain();
    compress_to("m", "a.lort", &options);
    rewrite_container("a.lort", "b.lort", poison_right);
    assert_code(first_failure("b.lort", 4096, &err), LORT_E_DAMAGED, &err);
    assert_says(&err, "w.f32: a factor holds NaN or Inf");
}

static void a_value_that_does_not_fit_its_type(void **state)
{
    static float large[SIZE];
    lort_options options = options_rank(3);
    lort_error err = {0};
    for (int i = 0; i < SIZE; i++)
        large[i] = 1e5f * low_rank[i];
    tiny_safetensors(dir, "m", &(tiny_tensor){"w", "F32", 2, {ROWS, COLS}, large}, 1);
    compress_to("m", "a.lort", &options);
    lort_files *files = open_with("a.lort", "F16", NULL, "w", 1);
    uint8_t buffer[100];
    assert_code(lort_files_read(files, 0, 0, buffer, sizeof buffer, &err), LORT_E_NUMERIC, &err);
    assert_says(&err, "use --dtype BF16 or F32");
    lort_files_close(files);
}

/* ---- memory ---- */

static void memory_is_bounded(void **state)
{
    lort_options options = options_rank(2);
    lort_files_options limited;
    lort_error err = {0};
    lort_files *files;
    make_file();
    compress_to("m", "a.lort", &options);
    lort_files_options_init(&limited);
    limited.threads = 2;
    limited.memory_bytes = 1 << 20;
    assert_int_equal(lort_files_open(tiny_path(dir, "a.lort"), &limited, &files, &err),
                     LORT_E_MEMORY);
    limited.memory_bytes = SANITIZED ? 2ull << 30 : smallest_said(&err);
    assert_code(restore_with("a.lort", "out", NULL, NULL, &err), LORT_OK, &err);
    assert_code(lort_files_open(tiny_path(dir, "a.lort"), &limited, &files, &err), LORT_OK, &err);
    check_all(files, tiny_path(dir, "out"));
    lort_files_close(files);
}

/* ---- a sink in place of a path ---- */

typedef struct gathered {
    lort_buffer all;
    int files, calls, stop_after;
    uint64_t promised;
} gathered;

static lort_code gather_file(void *ctx, const char *name, uint64_t size, lort_error *err)
{
    gathered *g = ctx;
    g->files++;
    g->promised += size;
    return LORT_OK;
}

static lort_code gather_bytes(void *ctx, const void *piece, uint64_t count, lort_error *err)
{
    gathered *g = ctx;
    lort_put_bytes(&g->all, piece, count);
    return ++g->calls == g->stop_after ? LORT_E_STOPPED : LORT_OK;
}

static lort_code gather(gathered *g, bool several, bool in_memory, uint64_t memory, lort_error *err)
{
    const lort_restore_sink sink = {gather_file, gather_bytes, g, several, in_memory, {0}};
    const lort_run_options run = {RUN_SIZE, .threads = 2, .memory_bytes = memory};
    const lort_restore_options options = {RESTORE_SIZE, .run = &run, .dtype = "F32", .sink = &sink};
    g->all.alloc = &lort_alloc_heap;
    return restore_with("a.lort", "a sink", &options, NULL, err);
}

static void a_sink_gets_the_files_in_order(void **state)
{
    lort_options options = options_rank(2);
    lort_error err = {0};
    make_shards();
    compress_to("m", "a.lort", &options);
    gathered all = {0}, one = {0}, stopped = {.stop_after = 2}, held = {0};
    assert_code(gather(&all, true, false, 0, &err), LORT_OK, &err);
    lort_files *files = open_with("a.lort", "F32", NULL, NULL, 1);
    assert_int_equal(all.files, lort_files_count(files));
    assert_int_equal(all.promised, all.all.size);
    for (uint64_t n = 0, at = 0; n < lort_files_count(files); n++) {
        lort_file_entry entry;
        assert_code(lort_files_info(files, n, &entry, &err), LORT_OK, &err);
        check_range(files, n, &(bytes){all.all.data + at, entry.bytes}, 0, entry.bytes);
        at += entry.bytes;
    }
    lort_files_close(files);
    assert_code(gather(&one, false, false, 0, &err), LORT_E_USAGE, &err);
    assert_says(&err, "holds 5 files");
    assert_int_equal(one.files + one.calls, 0);
    assert_code(gather(&stopped, true, false, 0, &err), LORT_E_STOPPED, &err);
    assert_says(&err, "the caller ended the run");
    assert_int_equal(stopped.calls, 2);
    assert_code(gather(&held, true, true, 8 << 20, &err), LORT_E_MEMORY, &err);
    assert_says(&err, "--memory leaves 8 MiB");
    assert_int_equal(held.files + held.calls, 0);
    assert_int_equal(names_left(), 2);
    lort_buffer_free(&all.all);
    lort_buffer_free(&stopped.all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        command_test(ranges_of_factors),
        command_test(ranges_of_integers),
        command_test(ranges_of_gguf),
        command_test(ranges_of_trits),
        command_test(ranges_of_shards),
        command_test(ranges_of_a_difference),
        command_test(one_tensor_is_a_file),
        command_test(what_cannot_be_read_is_refused),
        command_test(damage_is_found_and_named),
        command_test(the_source_is_checked_by_reads_in_order),
        command_test(factors_that_are_no_numbers_are_refused),
        command_test(a_value_that_does_not_fit_its_type),
        command_test(memory_is_bounded),
        command_test(a_sink_gets_the_files_in_order),
    };
    return run_chosen(tests, fill, empty);
}
