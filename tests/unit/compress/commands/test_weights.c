#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/os/os.h"
#include "tests/unit/command_fixture.h"
#include "tests/unit/main.h"
#include "tests/unit/sized.h"
#include "tests/unit/weights_models.h"

#define GGUF "tests/data/kjv-3m/kjv-3m-f16.gguf"
#define HF "tests/data/kjv-3m/hf"

static lort_options options_of(lort_residual residual)
{
    lort_options options = options_rank(2);
    options.residual = residual;
    if (residual == LORT_RESIDUAL_INT) {
        options.goal = LORT_GOAL_ERROR;
        options.value = 0.02;
    }
    return options;
}

static lort_weights *open_path(const char *path)
{
    lort_weights *w;
    lort_error err = {0};
    assert_code(lort_weights_open(path, NULL, &w, &err), LORT_OK, &err);
    return w;
}

static lort_weights *open_name(const char *name) { return open_path(tiny_path(dir, name)); }

static uint64_t number_of(const lort_weights *w, const char *name)
{
    uint64_t number;
    lort_error err = {0};
    assert_code(lort_weights_find(w, name, &number, &err), LORT_OK, &err);
    return number;
}

static lort_tensor_info info_of(const lort_weights *w, uint64_t number)
{
    lort_tensor_info info;
    lort_error err = {0};
    assert_code(lort_weights_info(w, number, &info, &err), LORT_OK, &err);
    return info;
}

/* ---- checks of streams ---- */

typedef struct collector {
    const void *buffer;
    uint8_t *all;
    uint64_t size, at, unit;    /* bytes; unit: of an element */
    uint64_t row, room;         /* rows: elements of one, and of the buffer; 0: bytes */
    int64_t pieces, stop_after; /* negative: never */
} collector;

static lort_code collect(collector *c, uint64_t at, const void *piece, uint64_t count)
{
    assert_ptr_equal(piece, c->buffer);
    assert_int_equal(at * c->unit, c->at);
    assert_true(count > 0 && (c->at + count * c->unit) <= c->size);
    memcpy(c->all + c->at, piece, (size_t)(count * c->unit));
    c->at += count * c->unit;
    return c->pieces++ == c->stop_after ? LORT_E_STOPPED : LORT_OK;
}

static lort_code collect_bytes(void *ctx, uint64_t offset, const void *bytes, uint64_t count)
{
    collector *c = ctx;
    /* all pieces but the last are full */
    assert_true(count == c->room || offset + count == c->size);
    return collect(c, offset, bytes, count);
}

/* A piece is whole rows, or a part of one row. */
static lort_code collect_rows(void *ctx, uint64_t first, const float *values, uint64_t count)
{
    collector *c = ctx;
    if (c->room >= c->row)
        assert_true(first % c->row == 0 && count % c->row == 0);
    else
        assert_true(first / c->row == (first + count - 1) / c->row);
    return collect(c, first, values, count);
}

/* The bytes of a tensor, streamed through a buffer of `room` bytes. The caller frees them. */
static uint8_t *bytes_of(lort_weights *w, uint64_t number, uint64_t room)
{
    const lort_tensor_info info = info_of(w, number);
    lort_error err = {0};
    void *buffer = malloc(room); /* exact, so that a sanitizer sees an overflow */
    collector c = {.buffer = buffer,
                   .all = malloc(info.bytes + 1),
                   .size = info.bytes,
                   .unit = 1,
                   .room = room,
                   .stop_after = -1};
    assert_true(info.has_bytes && buffer && c.all);
    assert_code(lort_weights_bytes(w, number, buffer, room, collect_bytes, &c, &err), LORT_OK,
                &err);
    assert_int_equal(c.at, info.bytes);
    free(buffer);
    return c.all;
}

/* Streams rows [first, first + count) to their place in all, which is [slices rows][cols]. */
static void put_rows(lort_weights *w, uint64_t number, int64_t first, int64_t count, uint64_t room,
                     float *all)
{
    const lort_tensor_info info = info_of(w, number);
    lort_error err = {0};
    void *buffer = malloc(room);
    const uint64_t row = (uint64_t)info.cols * sizeof(float);
    collector c = {.buffer = buffer,
                   .all = (uint8_t *)all,
                   .at = (uint64_t)first * row,
                   .unit = sizeof(float),
                   .row = (uint64_t)info.cols,
                   .room = room / sizeof(float),
                   .stop_after = -1,
                   .size = (uint64_t)(count < 0 ? info.slices * info.rows : first + count) * row};
    assert_non_null(buffer);
    assert_code(lort_weights_rows(w, number, first, count, buffer, room, collect_rows, &c, &err),
                LORT_OK, &err);
    assert_int_equal(c.at, c.size);
    free(buffer);
}

static uint64_t elements_of(const lort_tensor_info *info)
{
    return (uint64_t)(info->slices * info->rows * info->cols);
}

static float *rows_of(lort_weights *w, uint64_t number, uint64_t room)
{
    const lort_tensor_info info = info_of(w, number);
    float *all = calloc(elements_of(&info) + 1, sizeof *all);
    assert_non_null(all);
    put_rows(w, number, 0, LORT_ROWS_ALL, room, all);
    return all;
}

/* Streams of any rows through any buffer give the bits of want. */
static void same_rows(lort_weights *w, uint64_t number, const float *want)
{
    const lort_tensor_info info = info_of(w, number);
    const uint64_t bytes = elements_of(&info) * sizeof(float),
                   row = (uint64_t)info.cols * sizeof(float);
    const uint64_t rooms[] = {
        1024,         1028,   row > 1024 ? row : 1024, row > 1024 ? row - 4 : 1400, 7 * row + 1024,
        bytes + 1024, 3 << 20};
    const int64_t rows = info.slices * info.rows;
    for (unsigned i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        float *all = rows_of(w, number, rooms[i]);
        if (memcmp(all, want, bytes))
            fail_msg("%s: rows through a buffer of %llu bytes differ", info.name,
                     (unsigned long long)rooms[i]);
        free(all);
    }
    /* backwards, some rows at a time */
    float *all = calloc(elements_of(&info) + 1, sizeof *all);
    assert_non_null(all);
    for (int64_t last = rows, step = 1; last > 0; last -= step, step = step % 37 + 5) {
        step = step < last ? step : last;
        put_rows(w, number, last - step, step, 4096, all);
    }
    assert_memory_equal(all, want, bytes);
    free(all);
}

static void same_bytes(lort_weights *w, uint64_t number, const uint8_t *want)
{
    const lort_tensor_info info = info_of(w, number);
    const uint64_t rooms[] = {info.bytes < 30000 ? 1 : 999, info.bytes ? info.bytes : 1,
                              info.bytes + 1, 4096, 1 << 20};
    for (unsigned i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        uint8_t *all = bytes_of(w, number, rooms[i]);
        assert_memory_equal(all, want, info.bytes);
        free(all);
    }
}

/* Decodes the bytes of a tensor by the decoder of its type. */
static float *decoded(const lort_tensor_info *info, const uint8_t *bytes)
{
    const lort_dtype_info *type = lort_dtype_by_name(info->dtype, strlen(info->dtype));
    float *values = calloc(elements_of(info) + 1, sizeof *values);
    assert_true(type && type->decode && values);
    type->decode(bytes, values, elements_of(info));
    return values;
}

static lort_code swallow_rows(void *ctx, uint64_t first, const float *values, uint64_t count)
{
    *(uint64_t *)ctx += count;
    return LORT_OK;
}

static lort_code swallow_bytes(void *ctx, uint64_t offset, const void *bytes, uint64_t count)
{
    *(uint64_t *)ctx += count;
    return LORT_OK;
}

/* Pieces may have come before the failure, but not all of them. */
static void must_refuse_rows(lort_weights *w, uint64_t number, lort_code code, const char *words)
{
    float buffer[256];
    lort_error err = {0};
    uint64_t count = 0;
    const lort_tensor_info info = info_of(w, number);
    assert_code(lort_weights_rows(w, number, 0, LORT_ROWS_ALL, buffer, sizeof buffer, swallow_rows,
                                  &count, &err),
                code, &err);
    assert_says(&err, words);
    assert_true(count < elements_of(&info));
    assert_int_equal(lort_weights_rows(w, number, 0, LORT_ROWS_ALL, buffer, sizeof buffer,
                                       swallow_rows, &count, NULL),
                     code);
}

/* ---- models ---- */

static void read_at(const char *folder, const lort_tensor_report *entry, uint8_t *out)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, entry->file);
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    assert_int_equal(fseek(in, (long)entry->offset, SEEK_SET), 0);
    assert_int_equal(fread(out, 1, entry->bytes_in, in), entry->bytes_in);
    fclose(in);
}

/* For every tensor of a model: bytes are those of the file, rows are the decoded bytes. */
static void check_model(const char *path, const char *folder, bool mapped)
{
    lort_report report = {0};
    lort_error err = {0};
    assert_code(lort_inspect(path, &plenty, NULL, &report, &err), LORT_OK, &err);
    lort_weights *w = open_path(path);
    assert_int_equal(lort_weights_count(w), report.tensor_count);
    for (uint64_t i = 0; i < report.tensor_count; i++) {
        const lort_tensor_report *entry = &report.tensors[i];
        const lort_tensor_info info = info_of(w, i);
        uint8_t *want = malloc(entry->bytes_in + 1);
        read_at(folder, entry, want);
        assert_string_equal(info.name, entry->name);
        assert_string_equal(info.dtype, entry->dtype);
        assert_int_equal(info.bytes, entry->bytes_in);
        assert_int_equal(info.n_dims, entry->n_dims);
        assert_memory_equal(info.dims, entry->shape, info.n_dims * sizeof *info.dims);
        assert_int_equal(number_of(w, entry->name), i);
        const void *address = lort_weights_address(w, i);
        assert_int_equal(address != NULL, mapped);
        if (mapped)
            assert_memory_equal(address, want, info.bytes);
        same_bytes(w, i, want);
        if (info.has_rows) {
            float *values = decoded(&info, want);
            same_rows(w, i, values);
            free(values);
        } else
            must_refuse_rows(w, i, LORT_E_USAGE, "has no decoder; read the bytes of the tensor");
        assert_ptr_equal(lort_weights_address(w, i), address);
        free(want);
    }
    assert_int_equal(lort_weights_check(w, &err), LORT_OK);
    lort_weights_close(w);
    lort_report_free(&report);
}

static void the_bundled_models(void **state)
{
    check_model(GGUF, "tests/data/kjv-3m", true);
    check_model(HF, HF, true);
}

static void tiny_models(void **state)
{
    write_models();
    check_model(tiny_path(dir, "m"), dir, true);
    check_model(tiny_path(dir, "q.gguf"), dir, true);
    check_model(tiny_path(dir, "wide"), dir, true);
}

enum { MAPPINGS = 4096 };
static lort_map *maps[MAPPINGS];
static int map_count;

static int give_mappings_back(void **state)
{
    while (map_count > 0)
        lort_os_unmap(maps[--map_count]);
    return dir_close(state);
}

static void what_cannot_be_mapped_has_no_address(void **state)
{
    lort_dir *place;
    lort_file *file;
    write_models();
    tiny_text(dir, "x", "x");
    assert_int_equal(lort_os_dir_open(dir, &place, NULL), LORT_OK);
    assert_int_equal(lort_os_open(place, "x", &file, NULL), LORT_OK);
    while (map_count < MAPPINGS && lort_os_map(file, 1, &maps[map_count], NULL) == LORT_OK)
        map_count++;
    lort_os_close(file, NULL);
    lort_os_dir_close(place);
    check_model(tiny_path(dir, "m"), dir, false);
    check_model(tiny_path(dir, "q.gguf"), dir, false);
    check_model(tiny_path(dir, "wide"), dir, false);
}

static void shapes_are_matrices(void **state)
{
    static const struct {
        const char *name;
        int64_t slices, rows, cols;
    } wanted[] = {{"w.f32", 1, ROWS, COLS}, {"experts", 3, ROWS, COLS}, {"norm", 1, 1, COLS},
                  {"scalar", 1, 1, 1},      {"none", 0, 0, 0},          {"noise", 2, 3, 4}};
    write_models();
    lort_weights *w = open_name("m");
    for (unsigned i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        const lort_tensor_info info = info_of(w, number_of(w, wanted[i].name));
        assert_true(info.slices == wanted[i].slices && info.rows == wanted[i].rows &&
                    info.cols == wanted[i].cols);
    }
    lort_weights_close(w);
}

/* ---- containers ---- */

/* For every tensor of a container: streams give what restore writes, kept tensors in their type and
 * others in F32. Returns the number of tensors without bytes. */
static int check_container(const char *name)
{
    lort_error err = {0};
    lort_restore_options options = {RESTORE_SIZE,
                                    .run = &(lort_run_options){RUN_SIZE, .threads = 2},
                                    .dtype = "F32", .force = true};
    lort_weights *w = open_name(name);
    int lossy = 0;
    for (uint64_t i = 0; i < lort_weights_count(w); i++) {
        const lort_tensor_info info = info_of(w, i);
        options.tensor = info.name;
        assert_code(restore_with(name, "one", &options, NULL, &err), LORT_OK, &err);
        lort_buffer one = file_read("one");
        assert_int_equal(number_of(w, info.name), i);
        assert_null(lort_weights_address(w, i));
        if (info.has_bytes) {
            assert_int_equal(one.size, info.bytes);
            same_bytes(w, i, one.data);
        } else {
            uint8_t byte;
            assert_code(lort_weights_bytes(w, i, &byte, 1, collect_bytes, NULL, &err), LORT_E_USAGE,
                        &err);
            assert_says(&err, "not the original bytes; read rows of it");
            assert_int_equal(one.size, elements_of(&info) * sizeof(float));
            lossy++;
        }
        if (info.has_rows) {
            float *values = info.has_bytes ? decoded(&info, one.data)
                                           : calloc(elements_of(&info) + 1, sizeof *values);
            if (!info.has_bytes)
                memcpy(values, one.data, one.size);
            same_rows(w, i, values);
            free(values);
        } else
            must_refuse_rows(w, i, LORT_E_USAGE, "has no decoder");
        lort_buffer_free(&one);
    }
    assert_int_equal(lort_weights_check(w, &err), LORT_OK);
    lort_weights_close(w);
    return lossy;
}

static void containers_of_every_kind(void **state)
{
    static const lort_residual residuals[] = {LORT_RESIDUAL_NONE, LORT_RESIDUAL_INT,
                                              LORT_RESIDUAL_TERNARY};
    write_models();
    for (unsigned i = 0; i < 3; i++) {
        lort_options options = options_of(residuals[i]);
        options.force = true;
        compress_to("m", "a.lort", &options);
        assert_int_equal(check_container("a.lort"), 3);
        compress_to("q.gguf", "q.lort", &options);
        assert_int_equal(check_container("q.lort"), 0);
        compress_to("wide", "w.lort", &options);
        assert_int_equal(check_container("w.lort"), 1);
        options.goal = LORT_GOAL_LOSSLESS;
        options.residual = LORT_RESIDUAL_AUTO;
    }
}

static void copy_in(const char *path, const char *name)
{
    lort_buffer bytes = {.alloc = &lort_alloc_heap};
    FILE *in = fopen(path, "rb");
    uint8_t piece[4096];
    size_t n;
    assert_non_null(in);
    while ((n = fread(piece, 1, sizeof piece, in)) > 0)
        lort_put_bytes(&bytes, piece, n);
    fclose(in);
    tiny_write_buffer(dir, name, &bytes);
}

static void containers_by_hand(void **state)
{
    copy_in("tests/data/every-term.lort", "every.lort");
    copy_in("tests/data/trits.lort", "trits.lort");
    assert_true(check_container("every.lort") >= 2);
    assert_true(check_container("trits.lort") >= 1);
}

/* Streams of one tensor do not change streams of another, although they share buffers. */
static void streams_take_turns(void **state)
{
    lort_options options = options_of(LORT_RESIDUAL_INT);
    write_models();
    compress_to("m", "a.lort", &options);
    lort_weights *w = open_name("a.lort");
    const uint64_t experts = number_of(w, "experts"), norm = number_of(w, "norm"),
                   f16 = number_of(w, "w.f16");
    float *first = rows_of(w, experts, 1 << 20), *second = rows_of(w, f16, 1 << 20),
          *again = calloc(3 * SIZE, sizeof *again);
    uint8_t *plain = bytes_of(w, norm, 64);
    for (int64_t r = 0; r < 3 * ROWS; r += 7) {
        const int64_t other = r % ROWS;
        put_rows(w, experts, r, 1, 1024, again);
        assert_memory_equal(again + r * COLS, first + r * COLS, COLS * sizeof(float));
        put_rows(w, f16, other, 1, 1024, again);
        assert_memory_equal(again + other * COLS, second + other * COLS, COLS * sizeof(float));
        same_bytes(w, norm, plain);
    }
    put_rows(w, norm, 0, 1, 1024, again);
    free(bytes_of(w, number_of(w, "noise"), 64)); /* uses the same chunk buffer */
    put_rows(w, norm, 0, 1, 1024, again);
    assert_memory_equal(again, plain, COLS * sizeof(float));
    free(plain);
    free(again);
    free(second);
    free(first);
    lort_weights_close(w);
}

/* ---- wrong calls, and streams that the caller ends ---- */

static void wrong_calls_are_refused(void **state)
{
    lort_error err = {0};
    lort_tensor_info info;
    lort_weights *w;
    uint64_t number = 7;
    float buffer[8];
    static const int64_t beyond[][2] = {
        {-1, 1}, {0, ROWS + 1},          {ROWS, 1},     {ROWS + 1, LORT_ROWS_ALL},
        {0, -2}, {INT64_MAX, INT64_MAX}, {1, INT64_MAX}};
    write_models();
    assert_code(lort_weights_open(tiny_path(dir, "missing"), NULL, &w, &err), LORT_E_INPUT, &err);
    assert_null(w);
    lort_weights_close(NULL);
    w = open_name("m");
    assert_code(lort_weights_find(w, "missing\n", &number, &err), LORT_E_USAGE, &err);
    assert_says(&err, "no tensor 'missing\\x0A'");
    assert_int_equal(number, 0);
    assert_int_equal(lort_weights_find(w, "", &number, NULL), LORT_E_USAGE);
    assert_code(lort_weights_info(w, TENSORS, &info, &err), LORT_E_USAGE, &err);
    assert_null(info.name);
    assert_null(lort_weights_address(w, TENSORS));
    assert_code(lort_weights_bytes(w, TENSORS, buffer, sizeof buffer, collect_bytes, NULL, &err),
                LORT_E_USAGE, &err);
    assert_code(
        lort_weights_rows(w, UINT64_MAX, 0, 1, buffer, sizeof buffer, collect_rows, NULL, &err),
        LORT_E_USAGE, &err);
    assert_code(lort_weights_bytes(w, 0, buffer, 0, collect_bytes, NULL, &err), LORT_E_USAGE, &err);
    assert_says(&err, "tensor w.f32: a buffer of 0 bytes: the smallest that would do is 1");
    assert_code(lort_weights_rows(w, 0, 0, 1, buffer, 3, collect_rows, NULL, &err), LORT_E_USAGE,
                &err);
    assert_says(&err, "the smallest that would do is 4");
    assert_code(lort_weights_header(w, 0, NULL, 0, &number, &err), LORT_OK, &err);
    assert_true(number > 8);
    assert_code(lort_weights_header(w, 1, NULL, 0, &number, &err), LORT_E_USAGE, &err);
    assert_says(&err, "no weight file number 1: there are 1");
    assert_int_equal(number, 0);
    for (unsigned i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        assert_code(lort_weights_rows(w, 0, beyond[i][0], beyond[i][1], buffer, sizeof buffer,
                                      collect_rows, NULL, &err),
                    LORT_E_USAGE, &err);
        assert_says(&err, "there are 150");
    }
    /* 0 rows */
    assert_code(lort_weights_rows(w, 0, ROWS, LORT_ROWS_ALL, buffer, sizeof buffer, collect_rows,
                                  NULL, &err),
                LORT_OK, &err);
    lort_weights_close(w);
    w = open_name("q.gguf");
    assert_code(lort_weights_rows(w, number_of(w, "q8"), 0, 1, buffer, sizeof buffer, collect_rows,
                                  NULL, &err),
                LORT_E_USAGE, &err);
    assert_says(&err, "a buffer of 32 bytes: the smallest that would do is 128");
    lort_weights_close(w);
}

static void ends_after(lort_weights *w, uint64_t number, int64_t pieces)
{
    uint8_t all[SIZE * sizeof(float)];
    float buffer[COLS];
    lort_error err = {0};
    char words[80];
    collector c = {.buffer = buffer,
                   .all = all,
                   .size = sizeof all,
                   .unit = sizeof(float),
                   .row = COLS,
                   .room = COLS,
                   .stop_after = pieces};
    assert_code(lort_weights_rows(w, number, 0, LORT_ROWS_ALL, buffer, sizeof buffer, collect_rows,
                                  &c, &err),
                LORT_E_STOPPED, &err);
    assert_int_equal(c.pieces, pieces + 1);
    snprintf(words, sizeof words, "tensor w.f32: the caller ended the stream at element %d",
             (int)pieces * COLS);
    assert_string_equal(err.message, words);
    if (!info_of(w, number).has_bytes)
        return;
    c = (collector){.buffer = buffer,
                    .all = all,
                    .size = sizeof all,
                    .unit = 1,
                    .room = sizeof buffer,
                    .stop_after = pieces};
    assert_code(lort_weights_bytes(w, number, buffer, sizeof buffer, collect_bytes, &c, &err),
                LORT_E_STOPPED, &err);
    assert_int_equal(c.pieces, pieces + 1);
}

static void the_caller_may_end_a_stream(void **state)
{
    static const char *const names[] = {"m", "a.lort", "kept.lort"};
    lort_options options = options_of(LORT_RESIDUAL_INT);
    write_models();
    compress_to("m", "a.lort", &options);
    options.goal = LORT_GOAL_LOSSLESS;
    options.residual = LORT_RESIDUAL_AUTO;
    compress_to("m", "kept.lort", &options);
    for (unsigned i = 0; i < 3; i++) {
        lort_weights *w = open_name(names[i]);
        const uint64_t number = number_of(w, "w.f32");
        float *before = rows_of(w, number, 4096);
        ends_after(w, number, 0);
        ends_after(w, number, 70);
        ends_after(w, number, ROWS - 1); /* the last row */
        same_rows(w, number, before);
        free(before);
        lort_weights_close(w);
    }
}

/* ---- changed files, damaged containers ---- */

typedef struct prefix {
    const float *want;
    uint64_t good;
} prefix;

static lort_code compare_rows(void *ctx, uint64_t first, const float *values, uint64_t count)
{
    prefix *p = ctx;
    p->good += memcmp(values, p->want + first, (size_t)(count * sizeof *values)) == 0
                   ? count
                   : UINT64_MAX / 2;
    return LORT_OK;
}

static lort_code compare_bytes(void *ctx, uint64_t offset, const void *bytes, uint64_t count)
{
    prefix *p = ctx;
    p->good += memcmp(bytes, (const uint8_t *)p->want + offset, (size_t)count) == 0
                   ? count
                   : UINT64_MAX / 2;
    return LORT_OK;
}

/* The file shrinks to `left` bytes. A wide row is 36000 bytes, so whole pages are lost, or only a
 * part of the last page. */
static void shrinks_to(uint64_t left)
{
    enum { ROW = WIDE * sizeof(float) };
    static float buffer[WIDE];
    lort_error err = {0};
    prefix p = {wide, 0};
    tiny_safetensors(dir, "wide", &(tiny_tensor){"wide", "F32", 2, {ROWS, WIDE}, wide}, 1);
    lort_weights *w = open_name("wide");
    const uint8_t *address = lort_weights_address(w, 0);
    assert_int_equal(lort_weights_check(w, &err), LORT_OK);
    assert_int_equal(truncate(tiny_path(dir, "wide"), (off_t)left), 0);
    assert_code(lort_weights_bytes(w, 0, buffer, sizeof buffer, compare_bytes, &p, &err),
                LORT_E_READ, &err);
    assert_true(p.good <= left);
    assert_says(&err, "tensor wide: ");
    p.good = 0;
    assert_code(
        lort_weights_rows(w, 0, 0, LORT_ROWS_ALL, buffer, sizeof buffer, compare_rows, &p, &err),
        LORT_E_READ, &err);
    assert_true(p.good < ROWS * WIDE);
    assert_int_equal(address[ROWS * (uint64_t)ROW - 1], 0); /* no signal */
    assert_ptr_equal(lort_weights_address(w, 0), address);
    assert_code(lort_weights_check(w, &err), LORT_E_READ, &err);
    lort_weights_close(w);
}

static void a_file_that_shrank_is_a_read_error(void **state)
{
    struct stat st;
    shrinks_to(1 << 20);
    tiny_safetensors(dir, "wide", &(tiny_tensor){"wide", "F32", 2, {ROWS, WIDE}, wide}, 1);
    assert_int_equal(stat(tiny_path(dir, "wide"), &st), 0);
    shrinks_to((uint64_t)st.st_size - 8); /* within the last page, so no access faults */
}

static void a_file_that_was_written_to_is_a_read_error(void **state)
{
    float buffer[COLS];
    lort_error err = {0};
    write_models();
    make_old("m");
    lort_weights *w = open_name("m");
    lort_buffer same = file_read("m");
    assert_int_equal(lort_weights_check(w, &err), LORT_OK);
    tiny_write_buffer(dir, "m", &same);
    assert_code(lort_weights_check(w, &err), LORT_E_READ, &err);
    prefix p = {low_rank, 0};
    assert_code(lort_weights_rows(w, 0, 0, 3, buffer, sizeof buffer, compare_rows, &p, &err),
                LORT_E_READ, &err);
    lort_weights_close(w);
}

static void damage_is_told(void **state)
{
    lort_options options = options_of(LORT_RESIDUAL_INT);
    lort_weights *w;
    lort_error err = {0};
    lort_archive *archive;
    uint8_t byte;
    write_models();
    compress_to("m", "a.lort", &options);
    lort_buffer bytes = file_read("a.lort");
    assert_int_equal(lort_archive_open(tiny_path(dir, "a.lort"), &lort_alloc_heap, &archive, &err),
                     LORT_OK);
    for (uint64_t i = 0; i < lort_archive_count(archive); i++) /* the last byte of each payload */
        if (lort_archive_part(archive, i)->payload_bytes)
            bytes.data[lort_archive_index(archive)->entries[i].record_offset - 1] ^= 1;
    lort_archive_close(archive);
    tiny_write(dir, "bad.lort", bytes.data, bytes.size);
    w = open_name("bad.lort");
    for (uint64_t i = 0; i < lort_weights_count(w); i++) {
        const lort_tensor_info info = info_of(w, i);
        if (info.has_rows && info.bytes)
            must_refuse_rows(w, i, LORT_E_DAMAGED, info.name);
        uint64_t count = 0;
        if (info.has_bytes && info.bytes)
            assert_code(lort_weights_bytes(w, i, &byte, 1, swallow_bytes, &count, &err),
                        LORT_E_DAMAGED, &err);
        assert_true(count == 0 || count < info.bytes);
    }
    lort_weights_close(w);
    bytes.data[bytes.size - 20] ^= 1;
    tiny_write_buffer(dir, "bad.lort", &bytes);
    assert_code(lort_weights_open(tiny_path(dir, "bad.lort"), NULL, &w, &err), LORT_E_DAMAGED,
                &err);
    assert_null(w);
}

/* Edits of chunks, with their hashes made right again. */
static void other_bytes(const lort_part *part, const lort_chunk *chunk, uint8_t *bytes, uint64_t n)
{
    if (chunk->array >> 24 == LORT_ARRAY_RAW && chunk->first > 0)
        bytes[n - 1] ^= 1;
}

/* 0 x 2^4096 is NaN in f32. */
static void huge_exponent(const lort_part *part, const lort_chunk *chunk, uint8_t *bytes,
                          uint64_t n)
{
    if (chunk->array >> 24 == LORT_ARRAY_LEFT)
        memset(bytes, 0, n);
    for (uint32_t s = 0; s < part->slices; s++)
        for (uint32_t t = 0; t < part->term_count; t++)
            if (part->terms[t].exponent)
                part->terms[t].exponent[s] = LORT_EXPONENT_MAX;
}

static void short_rows(const lort_part *part, const lort_chunk *chunk, uint8_t *bytes, uint64_t n)
{
    if (part->tensor && part->dtype == LORT_Q8_0) {
        part->dims[0] = 160;
        part->dims[1] = 2;
    }
}

static void what_a_writer_got_wrong_is_damage(void **state)
{
    lort_options options = options_of(LORT_RESIDUAL_NONE);
    lort_error err = {0};
    static float buffer[WIDE];
    prefix p = {wide, 0};
    write_models();
    compress_to("wide", "a.lort", &options);
    rewrite_container("a.lort", "nan.lort", poison_right);
    lort_weights *w = open_name("nan.lort");
    must_refuse_rows(w, 0, LORT_E_DAMAGED, "tensor wide: a factor holds NaN or Inf");
    lort_weights_close(w);
    rewrite_container("a.lort", "huge.lort", huge_exponent);
    w = open_name("huge.lort");
    must_refuse_rows(w, 0, LORT_E_NUMERIC, "does not fit F32");
    lort_weights_close(w);
    assert_code(restore_with("huge.lort", "out",
                             &(lort_restore_options){RESTORE_SIZE, .dtype = "F32"}, NULL, &err),
                LORT_E_NUMERIC, &err);
    assert_says(&err, "does not fit F32");
    options.goal = LORT_GOAL_LOSSLESS;
    compress_to("wide", "kept.lort", &options);
    rewrite_container("kept.lort", "other.lort", other_bytes);
    w = open_name("other.lort");
    assert_code(lort_weights_bytes(w, 0, buffer, sizeof buffer, compare_bytes, &p, &err),
                LORT_E_DAMAGED, &err);
    assert_says(&err, "hash of the source");
    lort_weights_close(w);
    compress_to("q.gguf", "q.lort", &options);
    rewrite_container("q.lort", "short.lort", short_rows);
    w = open_name("short.lort");
    must_refuse_rows(w, number_of(w, "q8"), LORT_E_DAMAGED,
                     "rows of 2 elements are not whole blocks of Q8_0");
    lort_weights_close(w);
}

/* ---- memory ---- */

/* With any limit all rows come, or LORT_E_MEMORY. Nothing leaks: close asserts that the budget is
 * empty. Returns the code. */
static lort_code all_rows_within(const char *name, uint64_t memory)
{
    lort_weights *w;
    lort_error err = {0};
    static float buffer[256];
    prefix p = {.want = NULL};
    lort_code code = lort_weights_open(
        tiny_path(dir, name), &(lort_run_options){RUN_SIZE, .memory_bytes = memory}, &w, &err);
    p.want = wide;
    for (int turn = 0; turn < 2 && code == LORT_OK; turn++)
        code = lort_weights_rows(w, 0, 0, LORT_ROWS_ALL, buffer, sizeof buffer, compare_rows, &p,
                                 &err);
    lort_weights_close(w);
    if (code != LORT_OK)
        assert_code(code, LORT_E_MEMORY, &err);
    return code;
}

static void memory_is_a_limit(void **state)
{
    lort_options options = options_of(LORT_RESIDUAL_INT);
    write_models();
    compress_to("wide", "a.lort", &options);
    int refused = 0, done = 0;
    for (uint64_t memory = 64 << 10; memory < 24 << 20; memory += 300 << 10)
        *(all_rows_within("a.lort", memory) ? &refused : &done) += 1;
    assert_true(refused > 2 && done > 2);
    assert_int_equal(all_rows_within("wide", 1 << 20), LORT_E_MEMORY);
    assert_int_equal(all_rows_within("wide", 3 << 20), LORT_OK); /* less than the tensor */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        command_test(the_bundled_models),
        command_test(tiny_models),
        cmocka_unit_test_setup_teardown(what_cannot_be_mapped_has_no_address, dir_open,
                                        give_mappings_back),
        command_test(shapes_are_matrices),
        command_test(containers_of_every_kind),
        command_test(containers_by_hand),
        command_test(streams_take_turns),
        command_test(wrong_calls_are_refused),
        command_test(the_caller_may_end_a_stream),
        command_test(a_file_that_shrank_is_a_read_error),
        command_test(a_file_that_was_written_to_is_a_read_error),
        command_test(damage_is_told),
        command_test(what_a_writer_got_wrong_is_damage),
        command_test(memory_is_a_limit),
    };
    return run_chosen(tests, fill, empty);
}
