/* Tests of the pieces of tensors: they cover each weight once, whole blocks at a time; importance
 * goes with columns and experts; sums are those of a plain loop, and codes those of the whole. */
#include "compress/quantize/pieces.h"
#include "formats/types/encode.h"
#include "tests/unit/main.h"

#include <math.h>
#include <string.h>

static lort_target_tensor tensor_of(lort_tensor *tensor, const int64_t *dims, uint32_t n,
                                    lort_dtype type)
{
    *tensor = (lort_tensor){.type = lort_dtype_get(LORT_F32), .n_dims = n, .elements = 1};
    for (uint32_t i = 0; i < n; i++)
        tensor->elements *= (uint64_t)dims[i];
    tensor->dims = (int64_t *)(uintptr_t)dims; /* not written to */
    return (lort_target_tensor){.entry.tensor = tensor,
                                .shape = lort_tensor_matrices(tensor),
                                .type = lort_dtype_get(type)};
}

static void pieces_cover_each_weight_once(void **state)
{
    static const int64_t shapes[][3] = {{1, 1, 1},       {1, 1, 32},        {3, 7, 100},
                                        {1, 512, 512},   {1, 513, 512},     {3, 300, 512},
                                        {5, 1000, 1000}, {1, 1, 1 << 18},   {1, 1, (1 << 18) + 1},
                                        {1, 0, 256},     {2, 100000, 20000}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        lort_tensor tensor;
        const lort_target_tensor t = tensor_of(&tensor, shapes[i], 3, LORT_Q4_0);
        const uint64_t runs = lort_source_runs(&t.entry), pieces = lort_run_pieces(&t.entry);
        uint64_t at = 0;
        for (uint64_t p = 0; p < runs * pieces; p++) {
            const lort_stretch s = lort_run_piece(&t.entry, p / pieces, p % pieces);
            assert_int_equal(s.first, at);
            assert_true(s.count > 0 && s.count <= lort_piece_most(&t.entry));
            assert_int_equal(s.first % 256, 0); /* no block is cut */
            at += s.count;
        }
        assert_int_equal(at, tensor.elements);
        assert_int_equal(lort_target_pieces(&t), runs * pieces);
    }
}

static void importance_goes_with_columns_and_experts(void **state)
{
    static const int64_t dims[] = {3, 5, 40};
    float table[3 * 40], out[600];
    lort_tensor tensor;
    lort_target_tensor t = tensor_of(&tensor, dims, 3, LORT_F16);
    assert_null(lort_stretch_importance(&t, (lort_stretch){0, 600}, out));
    for (int i = 0; i < 120; i++)
        table[i] = (float)i;
    lort_importance importance = {.n_mat = 3, .n_in = 40, .mean_square = table};
    t.importance = &importance;
    for (int form = 0; form < 3; form++) { /* one row each; the legacy form; one row for all */
        importance.n_mat = form ? 1 : 3;
        importance.n_in = form == 1 ? 120 : 40;
        for (uint64_t first = 0; first < 600; first += 7)
            for (uint64_t n = 1; first + n <= 600; n += 83) {
                assert_non_null(lort_stretch_importance(&t, (lort_stretch){first, n}, out));
                for (uint64_t i = 0; i < n; i++) {
                    const uint64_t expert = form == 2 ? 0 : (first + i) / 200;
                    assert_true(out[i] == table[40 * expert + (first + i) % 40]);
                }
            }
    }
}

enum { COLS = 256, ROWS = 50, N = COLS * ROWS };
static float x[N], y[N], decoded[LORT_ENCODE_ELEMENTS], scratch[LORT_ENCODE_ELEMENTS], row[COLS];
static uint8_t coded[4 * LORT_ENCODE_ELEMENTS], pieces_out[4 * N], whole[4 * N];

static void expect_near(double a, double b)
{
    if (!(fabs(a - b) <= 1e-12 * fabs(b)))
        fail_msg("%.17g is not %.17g", a, b);
}

static void check_sums(lort_dtype type, bool weighed)
{
    static const int64_t dims[] = {ROWS, COLS};
    lort_tensor tensor;
    lort_target_tensor t = tensor_of(&tensor, dims, 2, type);
    const lort_importance importance = {.n_mat = 1, .n_in = COLS, .mean_square = row};
    lort_error_sums sums = {0}, again = {0}, loop = {0};
    const lort_quantize_worker w = {
        .values = x, .decoded = decoded, .importance = scratch, .coded = coded};
    t.importance = weighed ? &importance : NULL;
    lort_stretch_encode(&w, &t, t.type, (lort_stretch){0, N}, pieces_out, &sums);
    t.type->decode(pieces_out, y, N);
    for (int i = 0; i < N; i++) {
        const double e = (double)x[i] - (double)y[i], weight = (double)row[i % COLS];
        loop.x2 += (double)x[i] * (double)x[i];
        loop.e2 += e * e;
        loop.wx2 += weighed ? weight * (double)x[i] * (double)x[i] : 0;
        loop.we2 += weighed ? weight * e * e : 0;
    }
    expect_near(sums.x2, loop.x2);
    expect_near(sums.e2, loop.e2);
    expect_near(sums.wx2, loop.wx2);
    expect_near(sums.we2, loop.we2);
    /* without the bytes the sums are the same */
    lort_stretch_encode(&w, &t, t.type, (lort_stretch){0, N}, NULL, &again);
    assert_memory_equal(&sums, &again, sizeof sums);
    if (!weighed && lort_dtype_quantiser(type)) {
        lort_dtype_quantiser(type)(x, NULL, N, whole);
        assert_memory_equal(whole, pieces_out, lort_stretch_bytes(&t, (lort_stretch){0, N}));
    }
}

static void sums_are_those_of_what_is_decoded(void **state)
{
    static const lort_dtype types[] = {LORT_Q2_K, LORT_Q4_K, LORT_Q6_K, LORT_IQ4_XS,
                                       LORT_Q4_0, LORT_Q8_0, LORT_F16,  LORT_BF16};
    uint32_t random = 1;
    for (int i = 0; i < N; i++) {
        random = random * 1664525u + 1013904223u;
        x[i] = ((float)(random >> 8) / 8388608.0f - 1) * (i % 700 ? 0.1f : 3.0f);
    }
    for (int i = 0; i < COLS; i++)
        row[i] = (float)(i % 9) * 0.5f;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (int weighed = 0; weighed < 2; weighed++)
            check_sums(types[i], weighed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_cover_each_weight_once),
        cmocka_unit_test(importance_goes_with_columns_and_experts),
        cmocka_unit_test(sums_are_those_of_what_is_decoded),
    };
    return run_chosen(tests, NULL, NULL);
}
