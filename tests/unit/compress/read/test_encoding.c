#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/factor/cells.h"
#include "compress/factor/factor.h"
#include "compress/read/encoding.h"
#include "formats/container/part.h"
#include "tests/unit/command_fixture.h"
#include "tests/unit/container_fixture.h"
#include "tests/unit/main.h"

/* ---- the grid ---- */

static void cells_tile_the_matrix(void **state)
{
    static const int64_t shapes[][2] = {{1, 1},      {64, 4096},  {65, 4097}, {63, 5}, {1, 100000},
                                        {100000, 1}, {200, 9000}, {4097, 64}, {0, 7},  {7, 0}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        int64_t rows = shapes[i][0], cols = shapes[i][1];
        lort_cell_grid grid = lort_cell_grid_of(rows, cols);
        uint8_t *seen = calloc((size_t)(rows * cols) + 1, 1);
        assert_non_null(seen);
        for (int64_t n = 0; n < grid.down * grid.across; n++) {
            lort_cells c = lort_cell_get(&grid, n);
            assert_true(lort_cell_count(&c) > 0 && lort_cell_count(&c) <= LORT_CELL_VALUES);
            assert_int_equal(c.r0 % LORT_BLOCK_ROW_UNIT, 0);
            assert_int_equal(c.c0 % LORT_BLOCK_COL_UNIT, 0);
            assert_true(c.r1 % LORT_BLOCK_ROW_UNIT == 0 || c.r1 == rows);
            assert_true(c.c1 % LORT_BLOCK_COL_UNIT == 0 || c.c1 == cols);
            for (int64_t r = c.r0; r < c.r1; r++)
                for (int64_t k = c.c0; k < c.c1; k++)
                    assert_int_equal(seen[r * cols + k]++, 0);
        }
        for (int64_t k = 0; k < rows * cols; k++)
            assert_int_equal(seen[k], 1);
        free(seen);
    }
}

/* The bits of an element do not depend on the cell that it is read with. */
static void cells_are_the_rows(void **state)
{
    enum { ROWS = 150, COLS = 2500, RANK = 7, HIGH = 37, WIDE = 413 };
    static float left[ROWS * RANK], right[RANK * COLS], rows[ROWS * COLS], cell[ROWS * COLS];
    static const int32_t exponents[] = {0, -3, 40, -140};
    tiny_fill_noise(left, ROWS * RANK, 1);
    tiny_fill_noise(right, RANK * COLS, 2);
    for (size_t e = 0; e < sizeof exponents / sizeof *exponents; e++) {
        lort_product_cells(&(lort_product){RANK, exponents[e], left, right}, COLS, 0, ROWS, 0, COLS,
                           rows, COLS);
        for (int64_t r = 0; r < ROWS; r += HIGH)
            for (int64_t c = 0; c < COLS; c += WIDE) {
                int64_t r1 = r + HIGH < ROWS ? r + HIGH : ROWS,
                        c1 = c + WIDE < COLS ? c + WIDE : COLS;
                lort_product_cells(&(lort_product){RANK, exponents[e], left, right}, COLS, r, r1, c,
                                   c1, cell, c1 - c);
                for (int64_t k = r; k < r1; k++)
                    assert_memory_equal(cell + (k - r) * (c1 - c), rows + k * COLS + c,
                                        (size_t)(c1 - c) * sizeof(float));
            }
    }
}

/* ---- slices of a container ---- */

typedef struct opened {
    lort_archive *archive;
    lort_scratch scratch;
} opened;

static opened open_container(const char *name)
{
    opened o = {0};
    lort_error err = {0};
    assert_code(lort_archive_open(tiny_path(dir, name), &lort_alloc_heap, &o.archive, &err),
                LORT_OK, &err);
    assert_int_equal(
        lort_scratch_open(&o.scratch, &lort_alloc_heap, lort_archive_chunk_max(o.archive), NULL),
        LORT_OK);
    assert_int_equal(lort_codec_open(1, &o.scratch.codec, NULL), LORT_OK);
    lort_block_need need = {0};
    lort_archive_block_need(o.archive, &need);
    assert_int_equal(lort_block_space_open(&o.scratch.block, &lort_alloc_heap, &need, NULL),
                     LORT_OK);
    return o;
}

static void close_container(opened *o)
{
    lort_scratch_close(&o->scratch, &lort_alloc_heap);
    lort_archive_close(o->archive);
}

static const lort_part *part_named(const opened *o, const char *name)
{
    const lort_part *part = lort_archive_find(o->archive, name, strlen(name));
    assert_non_null(part);
    return part;
}

/* Reads every cell of a slice into one matrix, [rows][cols]. */
static float *decode_slice(opened *o, const lort_part *part, uint32_t number)
{
    lort_slice slice;
    lort_chunk_cache cache = {0};
    assert_int_equal(
        lort_slice_open(o->archive, part, number, &o->scratch, &lort_alloc_heap, &slice, NULL),
        LORT_OK);
    lort_cell_grid grid = lort_cell_grid_of(slice.shape.rows, slice.shape.cols);
    float *all = calloc((size_t)(grid.rows * grid.cols), sizeof *all),
          *cell = malloc(LORT_CELL_VALUES * sizeof *cell);
    assert_true(all && cell);
    memset(cell, 0xff, LORT_CELL_VALUES * sizeof *cell);
    for (int64_t n = 0; n < grid.down * grid.across; n++) {
        lort_cells c = lort_cell_get(&grid, n);
        assert_int_equal(lort_slice_cells(&slice, &c, &o->scratch, &cache, cell, NULL), LORT_OK);
        for (int64_t r = c.r0; r < c.r1; r++)
            memcpy(all + r * grid.cols + c.c0, cell + (r - c.r0) * (c.c1 - c.c0),
                   (size_t)(c.c1 - c.c0) * sizeof *cell);
    }
    lort_slice_close(&slice);
    lort_slice_close(&slice); /* accepts a closed slice */
    free(cell);
    return all;
}

/* Three chunks of 1 MiB, with borders within rows, and three cells across. */
static void raw_cells_are_the_source(void **state)
{
    enum { ROWS = 70, COLS = 9000 };
    float *values = calloc(ROWS * COLS, sizeof *values);
    lort_options options = options_rank(1);
    options.goal = LORT_GOAL_LOSSLESS;
    assert_non_null(values);
    tiny_fill_noise(values, ROWS * COLS, 3);
    tiny_safetensors(dir, "m", &(tiny_tensor){"w", "F32", 2, {ROWS, COLS}, values}, 1);
    compress_to("m", "a.lort", &options);
    opened o = open_container("a.lort");
    assert_int_equal(part_named(&o, "w")->chunk_count, 3);
    float *found = decode_slice(&o, part_named(&o, "w"), 0);
    assert_memory_equal(found, values, ROWS * COLS * sizeof *values);
    free(found);
    free(values);
    close_container(&o);
}

/* A stack: slice 0 is factored, slice 1 is raw (all NaN but one), slice 2 is zero. It is wide
 * enough for two cells. */
enum { ROWS = 65, COLS = 4200, SLICE = ROWS * COLS };

static float *stack(void)
{
    float *values = calloc(3 * SLICE, sizeof *values);
    assert_non_null(values);
    tiny_fill_rank(values, ROWS, COLS, 2, 5);
    tiny_fill_noise(values + SLICE, SLICE, 6);
    values[SLICE + 4100] = NAN;
    tiny_safetensors(dir, "m", &(tiny_tensor){"experts", "F32", 3, {3, ROWS, COLS}, values}, 1);
    lort_options options = options_rank(2);
    compress_to("m", "a.lort", &options);
    return values;
}

static void slices_of_a_stack(void **state)
{
    float *values = stack();
    opened o = open_container("a.lort");
    const lort_part *part = part_named(&o, "experts");
    assert_int_equal(part->slices, 3);
    assert_false(lort_part_is_raw(part));
    assert_true(lort_part_decodes(part));
    assert_int_equal(lort_part_elements(part), 3 * SLICE);
    assert_int_equal(lort_part_term(part, 0, LORT_TERM_FACTORS)->kind, LORT_TERM_FACTORS);
    float *found = decode_slice(&o, part, 0);
    double diff = 0, norm = 0;
    for (int64_t i = 0; i < SLICE; i++) {
        diff += ((double)found[i] - values[i]) * ((double)found[i] - values[i]);
        norm += (double)values[i] * values[i];
    }
    assert_true(diff > 0 && diff < 1e-6 * norm);
    free(found);
    for (uint32_t s = 1; s < 3; s++) {
        found = decode_slice(&o, part, s);
        assert_memory_equal(found, values + s * SLICE, SLICE * sizeof *found);
        free(found);
    }
    free(values);
    close_container(&o);
}

/* Opening takes the bytes that the plan counts. Any allocation of them may fail. */
static void opening_takes_what_was_said(void **state)
{
    free(stack());
    opened o = open_container("a.lort");
    const lort_part *part = part_named(&o, "experts");
    uint64_t most = 0;
    for (uint32_t s = 0; s < part->slices; s++) {
        tiny_failing failing;
        lort_slice slice;
        int64_t takes = 0;
        lort_code code;
        do {
            lort_error err = {0};
            tiny_failing_start(&failing, takes++);
            code = lort_slice_open(o.archive, part, s, &o.scratch, &failing.alloc, &slice, &err);
            if (code) {
                assert_code(code, LORT_E_MEMORY, &err);
                assert_null(slice.part);
                assert_int_equal(failing.live, 0);
            }
        } while (code);
        assert_int_equal(takes - 1, s == 0 ? 2 : 0);
        assert_int_equal((uint64_t)failing.bytes, lort_slice_memory(part, s));
        most = lort_slice_memory(part, s) > most ? lort_slice_memory(part, s) : most;
        lort_slice_close(&slice);
        assert_int_equal(failing.live, 0);
        assert_int_equal(failing.bytes, 0);
    }
    assert_int_equal(most, 2 * (ROWS + COLS) * sizeof(float));
    assert_int_equal(lort_part_memory(part), most);
    close_container(&o);
}

/* ---- integers ---- */

static lort_options options_integers(double error)
{
    lort_options options = options_rank(1);
    options.goal = LORT_GOAL_ERROR;
    options.value = error;
    options.residual = LORT_RESIDUAL_INT;
    options.force = true;
    return options;
}

static double relative_error(const float *found, const float *wanted, int64_t n)
{
    double diff = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        diff += ((double)found[i] - wanted[i]) * ((double)found[i] - wanted[i]);
        norm += (double)wanted[i] * wanted[i];
    }
    return sqrt(diff / norm);
}

/* A stack of experts: noise of two sizes; one slice with a NaN (raw); one all zero (raw); noise
 * with rows and columns of all sizes. */
static void integers_of_a_stack(void **state)
{
    enum { EXPERTS = 5 };
    float *values = calloc(EXPERTS * SLICE, sizeof *values);
    assert_non_null(values);
    tiny_fill_noise(values, 3 * SLICE, 5);
    for (int i = 0; i < SLICE; i++)
        values[SLICE + i] *= 1e-6f;
    values[2 * SLICE + 4100] = NAN;
    tiny_fill_noise(values + 4 * SLICE, SLICE, 6);
    for (int i = 0; i < SLICE; i++)
        values[4 * SLICE + i] *= (float)(1 << i / COLS % 9) * (float)(1 + i % COLS % 7);
    tiny_safetensors(dir, "m", &(tiny_tensor){"experts", "F32", 3, {EXPERTS, ROWS, COLS}, values},
                     1);
    for (double target = 0.05; target > 0.0001; target /= 5) {
        const lort_options options = options_integers(target);
        compress_to("m", "a.lort", &options);
        opened o = open_container("a.lort");
        const lort_part *part = part_named(&o, "experts");
        assert_int_equal(part->slices, EXPERTS);
        assert_true(lort_part_has_blocks(part) && lort_part_decodes(part) &&
                    !lort_part_is_raw(part));
        assert_false(part->has_error); /* unknown for a stack with a NaN */
        for (uint32_t s = 0; s < EXPERTS; s++) {
            const bool raw = s == 2 || s == 3;
            float *found = decode_slice(&o, part, s);
            assert_true((lort_part_term(part, s, LORT_TERM_RAW) != NULL) == raw);
            assert_true((lort_part_term(part, s, LORT_TERM_INTEGERS) != NULL) == !raw);
            const double error = raw ? 0 : relative_error(found, values + s * SLICE, SLICE);
            if (raw)
                assert_memory_equal(found, values + s * SLICE, SLICE * sizeof *found);
            else if (!(error <= target && error > 0.95 * target))
                fail_msg("slice %u: %g of %g", s, error, target);
            free(found);
        }
        close_container(&o);
    }
    free(values);
}

static void the_error_of_a_stack_is_over_all(void **state)
{
    float *values = calloc(3 * SLICE, sizeof *values), *found = calloc(3 * SLICE, sizeof *found);
    const lort_options options = options_integers(0.02);
    assert_true(values && found);
    tiny_fill_noise(values, 2 * SLICE, 5); /* and one zero slice */
    tiny_safetensors(dir, "m", &(tiny_tensor){"experts", "F32", 3, {3, ROWS, COLS}, values}, 1);
    compress_to("m", "a.lort", &options);
    opened o = open_container("a.lort");
    const lort_part *part = part_named(&o, "experts");
    for (uint32_t s = 0; s < 3; s++) {
        float *slice = decode_slice(&o, part, s);
        memcpy(found + s * SLICE, slice, SLICE * sizeof *slice);
        free(slice);
    }
    assert_true(part->has_error);
    assert_true(fabs(part->rel_error - relative_error(found, values, 3 * SLICE)) < 1e-9);
    close_container(&o);
    free(values);
    free(found);
}

/* LoRT keeps a slice that it cannot quantise, and reports the reason. */
static void what_integers_cannot_reach_is_kept(void **state)
{
    enum { N = 40 * 50 };
    static const float scales[] = {1e-44f, 1e-38f, 1e-24f, 1e-20f, 1e-9f, 1e9f, 1e20f, 1e37f};
    float values[N];
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
        const lort_options options = options_integers(0.05);
        tiny_fill_noise(values, N, 3);
        for (int k = 0; k < N; k++)
            values[k] *= scales[i];
        tiny_safetensors(dir, "m", &(tiny_tensor){"w", "F32", 2, {40, 50}, values}, 1);
        compress_to("m", "a.lort", &options);
        opened o = open_container("a.lort");
        const lort_part *part = part_named(&o, "w");
        float *found = decode_slice(&o, part, 0);
        if (lort_part_is_raw(part))
            assert_memory_equal(found, values, sizeof values);
        else
            assert_true(relative_error(found, values, N) <= 0.05);
        assert_true(!lort_part_is_raw(part) || scales[i] < 1e-30f || scales[i] > 1e9f);
        free(found);
        close_container(&o);
    }
}

/* Every term of the container fixture gives the values that the fixture was made of. */
static void factors_and_integers_are_summed(void **state)
{
    fixture *fix = malloc(sizeof *fix);
    assert_non_null(fix);
    fixture_build(fix);
    tiny_write(dir, "fixture.lort", fix->file.data, fix->file.size);
    opened o = open_container("fixture.lort");
    const lort_part *part = part_named(&o, "residual.weight");
    float *first = decode_slice(&o, part, 0), *both = decode_slice(&o, part, 1),
          *raw = decode_slice(&o, part, 2);
    assert_memory_equal(raw, fix->source[7] + 2 * 80, 80);
    for (int i = 0; i < 20; i++) {
        float factors = 0;
        for (int k = 0; k < 2; k++)
            factors += 0.25f * (float)((i / 5 * 2 + k) * 7 % 11 - 5) * 0.5f *
                       (float)((k * 5 + i % 5) * 5 % 7 - 3);
        assert_true(fabsf(first[i] - fixture_value(0, i)) <= 0.3f);
        assert_true(fabsf(both[i] - factors - fixture_value(1, i)) <= 0.3f);
    }
    free(first);
    free(both);
    free(raw);
    close_container(&o);
    fixture_free(fix);
    free(fix);
}

static void nan_in_a_factor_is_damage(void **state)
{
    free(stack());
    rewrite_container("a.lort", "bad.lort", poison_right);
    opened o = open_container("bad.lort");
    tiny_failing counting;
    lort_slice slice;
    lort_error err = {0};
    tiny_failing_start(&counting, -1);
    assert_code(lort_slice_open(o.archive, part_named(&o, "experts"), 0, &o.scratch,
                                &counting.alloc, &slice, &err),
                LORT_E_DAMAGED, &err);
    assert_says(&err, "NaN");
    assert_int_equal(counting.live, 0);
    assert_null(slice.left);
    close_container(&o);
}

/* ---- outliers and scaled rows ---- */

enum { HUGE_COUNT = 12 };
/* At the corners of cells, in cells beside each other, and several in one row. */
static const int64_t huge_at[HUGE_COUNT][2] = {{0, 0},     {0, 1},    {0, 1023}, {0, 1024},
                                               {0, 4199},  {3, 4095}, {3, 4096}, {63, 2048},
                                               {63, 4199}, {64, 0},   {64, 1},   {64, 4199}};

static float *with_outliers(const char *name, const lort_options *options, float *values)
{
    for (int i = 0; i < HUGE_COUNT; i++)
        values[huge_at[i][0] * COLS + huge_at[i][1]] = (float)(i % 2 ? -1 : 1) * (2e4f + (float)i);
    tiny_safetensors(dir, "m", &(tiny_tensor){name, "F32", 2, {ROWS, COLS}, values}, 1);
    compress_to("m", "a.lort", options);
    return values;
}

/* Puts zeros in the places of the outliers, which must be exact. */
static void take_out(float *found, float *values)
{
    for (int i = 0; i < HUGE_COUNT; i++) {
        const int64_t at = huge_at[i][0] * COLS + huge_at[i][1];
        assert_true(found[at] == values[at]);
        found[at] = values[at] = 0;
    }
}

static void outliers_stand_in_place_of_the_sum(void **state)
{
    lort_options trits = options_rank(4), factors = options_rank(4);
    trits.residual = LORT_RESIDUAL_TERNARY;
    factors.residual = LORT_RESIDUAL_NONE;
    trits.force = factors.force = true;
    const struct {
        lort_options options;
        lort_term_kind kind;
        double most;
    } cases[] = {{options_integers(0.05), LORT_TERM_INTEGERS, 0.05},
                 {trits, LORT_TERM_TERNARY, 0.6},
                 {factors, LORT_TERM_FACTORS, 1}};
    float *values = calloc(SLICE, sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tiny_fill_noise(values, SLICE, 5);
        with_outliers("w", &cases[i].options, values);
        opened o = open_container("a.lort");
        const lort_part *part = part_named(&o, "w");
        assert_non_null(lort_part_term(part, 0, cases[i].kind));
        assert_int_equal(lort_part_term(part, 0, LORT_TERM_OUTLIERS)->rank[0], HUGE_COUNT);
        float *found = decode_slice(&o, part, 0);
        take_out(found, values);
        const double error = relative_error(found, values, SLICE);
        if (!(error > 0 && error <= cases[i].most))
            fail_msg("case %d: %g", (int)i, error);
        free(found);
        close_container(&o);
    }
    free(values);
}

/* Norms of rows over twelve octaves, in an order that is not that of the rows. */
static void fill_rows(float *values)
{
    tiny_fill_noise(values, SLICE, 9);
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLS; c++)
            values[r * COLS + c] *= ldexpf(1, -(7 * r % 13));
}

static void each_row_keeps_the_target(void **state)
{
    static const double targets[] = {0.2, 0.02};
    float *values = calloc(SLICE, sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < 2 * sizeof targets / sizeof *targets; i++) {
        const double target = targets[i / 2];
        const lort_options options = options_integers(target);
        fill_rows(values);
        if (i % 2)
            with_outliers("lm_head.weight", &options, values);
        else {
            tiny_safetensors(dir, "m",
                             &(tiny_tensor){"lm_head.weight", "F32", 2, {ROWS, COLS}, values}, 1);
            compress_to("m", "a.lort", &options);
        }
        opened o = open_container("a.lort");
        const lort_part *part = part_named(&o, "lm_head.weight");
        assert_int_equal(lort_part_term(part, 0, LORT_TERM_INTEGERS)->scaled, LORT_SCALING_ROWS);
        float *found = decode_slice(&o, part, 0);
        assert_true((lort_part_term(part, 0, LORT_TERM_OUTLIERS) != NULL) == (i % 2 == 1));
        if (i % 2)
            take_out(found, values);
        assert_true(relative_error(found, values, SLICE) <= target);
        for (int r = 0; r < ROWS; r++) {
            const double error = relative_error(found + r * COLS, values + r * COLS, COLS);
            if (!(error < 1.5 * target))
                fail_msg("row %d: %g of %g", r, error, target);
        }
        free(found);
        close_container(&o);
    }
    free(values);
}

/* Opening takes the bytes that the plan counts. Any allocation of them may fail. */
static void outliers_take_what_was_said(void **state)
{
    const lort_options options = options_integers(0.1);
    float *values = calloc(SLICE, sizeof *values);
    tiny_failing failing;
    lort_slice slice;
    int64_t takes = 0;
    lort_code code;
    assert_non_null(values);
    fill_rows(values);
    free(with_outliers("lm_head.weight", &options, values));
    opened o = open_container("a.lort");
    const lort_part *part = part_named(&o, "lm_head.weight");
    do {
        tiny_failing_start(&failing, takes++);
        code = lort_slice_open(o.archive, part, 0, &o.scratch, &failing.alloc, &slice, NULL);
        if (code) {
            assert_int_equal(code, LORT_E_MEMORY);
            assert_int_equal(failing.live, 0);
        }
    } while (code);
    assert_int_equal(takes - 1, 2); /* codes and outliers */
    assert_int_equal((uint64_t)failing.bytes, lort_slice_memory(part, 0));
    lort_slice_close(&slice);
    assert_int_equal(failing.live, 0);
    assert_int_equal(failing.bytes, 0);
    close_container(&o);
}

/* Edits of decoded chunks. Every hash is right afterwards. */
static struct {
    lort_array array;
    uint64_t at, value;
    unsigned bytes;
} spoiled;

static void spoil(const lort_part *part, const lort_chunk *chunk, uint8_t *bytes, uint64_t n)
{
    (void)part;
    if (chunk->array >> 24 != (uint32_t)spoiled.array)
        return;
    assert_true(spoiled.at + spoiled.bytes <= n);
    for (unsigned i = 0; i < spoiled.bytes; i++)
        bytes[spoiled.at + i] = (uint8_t)(spoiled.value >> 8 * i);
}

static void damage_is_named(void **state)
{
    static const struct {
        lort_array array;
        uint64_t at, value;
        unsigned bytes;
        const char *says; /* NULL: no damage */
    } cases[] = {
        {LORT_ARRAY_PLACES, 0, 0, 8, NULL},
        {LORT_ARRAY_PLACES, 8, 0, 8, "outlier 1 is at element 0"}, /* twice */
        {LORT_ARRAY_PLACES, 0, 2, 8, "outlier 1 is at element 1"}, /* descends */
        {LORT_ARRAY_PLACES, 8 * (HUGE_COUNT - 1), SLICE - 1, 8, NULL},
        {LORT_ARRAY_PLACES, 8 * (HUGE_COUNT - 1), SLICE, 8, "outlier 11 is at element 273000"},
        {LORT_ARRAY_PLACES, 8 * (HUGE_COUNT - 1), UINT64_MAX, 8, "outlier 11"},
        {LORT_ARRAY_PLACES, 0, UINT64_MAX, 8, "outlier 0"},
        {LORT_ARRAY_OUTLIERS, 4, 0x7f7fffff, 4, NULL},
        {LORT_ARRAY_OUTLIERS, 4, 0x7f800000, 4, "an outlier holds NaN or Inf"},
        {LORT_ARRAY_OUTLIERS, 0, 0xff800000, 4, "NaN or Inf"},
        {LORT_ARRAY_OUTLIERS, 4 * (HUGE_COUNT - 1), 0x7fc00000, 4, "NaN or Inf"},
        {LORT_ARRAY_CODES, ROWS + COLS, 1, 1, NULL},
        {LORT_ARRAY_CODES, ROWS + COLS, 0, 1, "the scale of row 0 has code 0 (allowed 1"},
        {LORT_ARRAY_CODES, 2 * ROWS + COLS - 1, 255, 1, NULL},
        {LORT_ARRAY_CODES, 2 * ROWS + COLS - 1, 0, 1, "the scale of row 64 has code 0"},
        {LORT_ARRAY_CODES, ROWS + COLS + 5, 0, 1, "the scale of row 5 has code 0"}};
    const lort_options options = options_integers(0.1);
    float *values = calloc(SLICE, sizeof *values);
    assert_non_null(values);
    fill_rows(values);
    free(with_outliers("lm_head.weight", &options, values));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tiny_failing counting;
        lort_slice slice;
        lort_error err = {0};
        spoiled.array = cases[i].array;
        spoiled.at = cases[i].at;
        spoiled.value = cases[i].value;
        spoiled.bytes = cases[i].bytes;
        rewrite_container("a.lort", "bad.lort", spoil);
        opened o = open_container("bad.lort");
        tiny_failing_start(&counting, -1);
        assert_code(lort_slice_open(o.archive, part_named(&o, "lm_head.weight"), 0, &o.scratch,
                                    &counting.alloc, &slice, &err),
                    cases[i].says ? LORT_E_DAMAGED : LORT_OK, &err);
        if (cases[i].says)
            assert_says(&err, cases[i].says);
        else
            lort_slice_close(&slice);
        assert_int_equal(counting.live, 0);
        close_container(&o);
    }
}

static void one_row_per_kind(void **state)
{
    for (int kind = LORT_TERM_RAW; kind <= LORT_TERM_INTEGERS; kind++)
        assert_int_equal(lort_encoding_get((lort_term_kind)kind)->kind, kind);
    for (int kind = LORT_TERM_TERNARY; kind < LORT_TERM_KINDS; kind++)
        assert_int_equal(lort_encoding_get((lort_term_kind)kind)->kind, kind);
    assert_null(lort_encoding_get(LORT_TERM_SCALE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_tile_the_matrix),
        cmocka_unit_test(cells_are_the_rows),
        command_test(raw_cells_are_the_source),
        command_test(slices_of_a_stack),
        command_test(opening_takes_what_was_said),
        command_test(nan_in_a_factor_is_damage),
        command_test(integers_of_a_stack),
        command_test(the_error_of_a_stack_is_over_all),
        command_test(what_integers_cannot_reach_is_kept),
        command_test(factors_and_integers_are_summed),
        command_test(outliers_stand_in_place_of_the_sum),
        command_test(each_row_keeps_the_target),
        command_test(outliers_take_what_was_said),
        command_test(damage_is_named),
        cmocka_unit_test(one_row_per_kind),
    };
    return run_chosen(tests, NULL, NULL);
}
