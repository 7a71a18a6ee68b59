/* Blocks that are rounded with feedback: the loss is tr(E H E') of what a reader gets, it is far
 * below that of rounding without feedback, and errors do not grow where inputs are nearly equal. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/coder/block.h"
#include "compress/coder/feedback.h"
#include "compress/math/blas.h"
#include "tests/unit/main.h"
#include "tests/unit/tiny_model.h"

#include <math.h>

static lort_codec *codec;

static int all_up(void **state)
{
    return lort_codec_open(1, &codec, NULL) || lort_blas_start(NULL);
}
static int all_down(void **state)
{
    lort_codec_close(codec);
    lort_blas_stop();
    return 0;
}

/* Inputs of mean square 1 with h_ij = r^|i - j|. Then V_jk = r^(k - j), D_0 = 1 and D_k = 1 - r^2
 * from the other end: column k is known from those behind it, but for the last. */
typedef struct block_case {
    int64_t rows, cols;
    double r;
    float *factor, *weight, *weights;
    uint8_t *codes, *scales;
    lort_feedback *feedback;
    lort_block block;
    lort_block_space space;
} block_case;

static block_case case_open(int64_t rows, int64_t cols, double r)
{
    block_case c = {.rows = rows, .cols = cols, .r = r};
    const lort_block_need need = {.weights = rows * cols, .cols = cols, .write = true};
    c.factor = calloc((size_t)(cols * cols), sizeof(float));
    c.weight = calloc((size_t)cols, sizeof(float));
    c.weights = calloc((size_t)(rows * cols), sizeof(float));
    c.codes = malloc((size_t)(rows + cols));
    c.scales = malloc((size_t)rows);
    c.feedback = malloc(sizeof *c.feedback);
    assert_true(c.factor && c.weight && c.weights && c.codes && c.scales && c.feedback);
    for (int64_t j = 0; j < cols; j++) {
        double v = 1;
        for (int64_t k = j; k < cols; k++, v *= r)
            c.factor[j * cols + k] = (float)v;
        c.weight[j] = (float)(j < cols - 1 ? 1 - r * r : 1);
    }
    memset(c.codes, 128, (size_t)(rows + cols));
    tiny_fill_noise(c.weights, (size_t)(rows * cols), 3);
    assert_int_equal(lort_block_space_open(&c.space, &lort_alloc_heap, &need, NULL), LORT_OK);
    memcpy(c.space.weights, c.weights, (size_t)(rows * cols) * sizeof(float));
    *c.feedback = (lort_feedback){.cols = cols, .factor = c.factor, .weight = c.weight};
    c.block = (lort_block){.rows = rows,
                           .cols = cols,
                           .row_codes = c.codes,
                           .col_codes = c.codes + rows,
                           .mean2 = 1,
                           .show = true,
                           .feedback = c.feedback};
    lort_block_classes(&c.block);
    return c;
}

static void case_close(block_case *c)
{
    lort_block_space_close(&c->space, &lort_alloc_heap);
    free(c->factor);
    free(c->weight);
    free(c->weights);
    free(c->codes);
    free(c->scales);
    free(c->feedback);
}

/* tr(E H E') of the values in space->decoded; rows count `units` times, NULL: once. */
static double loss_of(const block_case *c, const double *units)
{
    double sum = 0;
    for (int64_t i = 0; i < c->rows; i++) {
        double left = 0, row = 0; /* left: the sum over j < k of e_j r^(k - j) */
        for (int64_t k = 0; k < c->cols; k++) {
            const double e =
                (double)c->weights[i * c->cols + k] - (double)c->space.decoded[i * c->cols + k];
            row += e * (e + 2 * left);
            left = c->r * (left + e);
        }
        sum += row * (units ? units[i] : 1);
    }
    return sum;
}

static const int64_t shapes[][2] = {{64, 300}, {17, 129}, {33, 128}, {5, 7}, {1, 1}, {16, 1}};

static void the_loss_is_that_of_the_values(void **state)
{
    static const float steps[] = {0.05f, 0.5f, 1.5f};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t s = 0; s < 3; s++) {
            block_case c = case_open(shapes[i][0], shapes[i][1], 0.8);
            const double error2 = lort_block_measure(&c.block, steps[s], &c.space),
                         loss = loss_of(&c, NULL);
            double plain = 0;
            for (int64_t n = 0; n < c.rows * c.cols; n++)
                plain += pow((double)c.weights[n] - (double)c.space.decoded[n], 2);
            if (!(fabs(c.space.loss / loss - 1) < 1e-3 && fabs(error2 / plain - 1) < 1e-4))
                fail_msg("%lld x %lld, step %g: loss %g, not %g; error %g, not %g",
                         (long long)c.rows, (long long)c.cols, (double)steps[s], c.space.loss, loss,
                         error2, plain);
            case_close(&c);
        }
}

static void rows_count_in_their_own_units(void **state)
{
    block_case c = case_open(20, 140, 0.8);
    double units[20];
    for (int i = 0; i < 20; i++) {
        c.scales[i] = (uint8_t)(120 + i);
        units[i] = pow(2, (8 - i) / 2.0);
    }
    c.block.row_scales = c.scales;
    lort_block_measure(&c.block, 0.5f, &c.space);
    assert_true(fabs(c.space.loss / loss_of(&c, units) - 1) < 1e-3);
    case_close(&c);
}

/* With r = 0.999 four columns that repaired the same error would make it grow. */
static void feedback_saves_most_of_the_loss(void **state)
{
    static const double rs[] = {0.9, 0.99, 0.999}, most[] = {0.6, 0.12, 0.02};
    for (size_t i = 0; i < 3; i++) {
        block_case c = case_open(64, 512, rs[i]);
        lort_block_measure(&c.block, 0.7f, &c.space);
        const double with = loss_of(&c, NULL);
        c.block.feedback = NULL;
        lort_block_measure(&c.block, 0.7f, &c.space);
        const double without = loss_of(&c, NULL);
        if (!(with < most[i] * without))
            fail_msg("r %g: loss %g with feedback, %g without", rs[i], with, without);
        case_close(&c);
    }
}

/* A reader knows nothing of feedback, and gets what the writer saw. */
static void a_reader_gets_the_values(void **state)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        block_case c = case_open(shapes[i][0], shapes[i][1], 0.9);
        lort_block_coded coded;
        lort_error err = {0};
        lort_block_space space;
        const lort_block_need need = {.weights = c.rows * c.cols, .cols = c.cols};
        if (lort_block_encode(&c.block, 0.3f, codec, &c.space, &coded, &err))
            fail_msg("%s", err.message);
        assert_int_equal(lort_block_space_open(&space, &lort_alloc_heap, &need, NULL), LORT_OK);
        assert_int_equal(lort_codec_decode_frames(codec, c.space.coded, coded.stored, space.body,
                                                  coded.decoded, NULL),
                         LORT_OK);
        lort_block read = c.block;
        if (lort_block_decode(&read, 0.3f, coded.decoded, &space, &err))
            fail_msg("%s", err.message);
        assert_memory_equal(space.weights, c.space.decoded,
                            (size_t)(c.rows * c.cols) * sizeof(float));
        lort_block_space_close(&space, &lort_alloc_heap);
        case_close(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loss_is_that_of_the_values),
        cmocka_unit_test(rows_count_in_their_own_units),
        cmocka_unit_test(feedback_saves_most_of_the_loss),
        cmocka_unit_test(a_reader_gets_the_values),
    };
    return run_chosen(tests, all_up, all_down);
}
