/* bench_product: the product of factors that readers compute (math/multiply.h), beside lort_sgemm,
 * which readers used before. One thread. Both compute the cells of one matrix in turn, and the best
 * of several rounds counts. "plain" is for processors without fused multiply-add. */
#include "tests/bench/roofline.h"

#include "compress/math/multiply.h"

enum { ROWS = 512, COLS = 4096, CELL_ROWS = 64, CELL_COLS = 1024 };

static const int64_t ranks[] = {16, 64, 256};
#define RANKS (sizeof ranks / sizeof *ranks)
#define BAR 1.2 /* at most this times the time of sgemm */

typedef struct operands {
    int64_t rank;
    float *left, *right, *out;
} operands;

static operands make_operands(int64_t rank)
{
    operands o = {.rank = rank};
    o.left = bench_take((size_t)(ROWS * rank) * sizeof *o.left);
    o.right = bench_take((size_t)(COLS * rank) * sizeof *o.right);
    o.out = bench_take((size_t)ROWS * COLS * sizeof *o.out);
    for (int64_t i = 0; i < ROWS * rank; i++)
        o.left[i] = (float)(i * 7919 % 1009 - 504) / 504;
    for (int64_t i = 0; i < COLS * rank; i++)
        o.right[i] = (float)(i * 104729 % 997 - 498) / 498;
    return o;
}

static void free_operands(operands *o)
{
    free(o->left);
    free(o->right);
    free(o->out);
}

/* way NULL: sgemm, in the cells that readers used. */
static double seconds(const lort_multiplier *way, const operands *o)
{
    const double begin = bench_now();
    for (int64_t r = 0; r < ROWS && !way; r += CELL_ROWS)
        for (int64_t c = 0; c < COLS; c += CELL_COLS)
            lort_sgemm(false, false, CELL_ROWS, CELL_COLS, o->rank, 1, o->left + r * o->rank,
                       o->rank, o->right + c, COLS, 0, o->out + r * COLS + c, COLS);
    if (way)
        lort_multiply_by(way, &(lort_multiplication){ROWS, COLS, o->rank, o->left, o->rank,
                                                     o->right, COLS, o->out, COLS});
    return bench_now() - begin;
}

/* Times sgemm and one way in turn. Returns the best time of the way over the best of sgemm. */
static double ratio_of(const lort_multiplier *way, const operands *o, double *speed)
{
    double mine = 1e9, blas = 1e9;
    for (int i = 0; i < (bench_short() ? 5 : 20); i++) {
        blas = fmin(blas, seconds(NULL, o));
        mine = fmin(mine, seconds(way, o));
    }
    *speed = 2e-9 * ROWS * COLS * (double)o->rank / mine;
    return mine / blas;
}

static void measure(bench_bars *bars, const lort_multiplier *way, bool bar)
{
    char what[96];
    printf("  %-8s", lort_multiplier_name(way));
    for (size_t i = 0; i < RANKS; i++) {
        double speed;
        operands o = make_operands(ranks[i]);
        const double ratio = ratio_of(way, &o, &speed);
        printf("  %6.1f Gflop/s %6.2f", speed, ratio);
        snprintf(what, sizeof what, "product of rank %d, %s: time over that of sgemm",
                 (int)ranks[i], lort_multiplier_name(way));
        if (bar)
            bench_at_most(bars, ratio, BAR, "", what);
        free_operands(&o);
    }
    printf("\n");
    fflush(stdout);
}

int main(void)
{
    bench_bars bars = {0};
    bench_need(lort_blas_start(NULL) == LORT_OK, "no BLAS");
    printf("%d x %d, core %s; speed, and time over that of sgemm\n  %-8s", ROWS, COLS,
           lort_blas_core(), "rank");
    for (size_t i = 0; i < RANKS; i++)
        printf("  %21d", (int)ranks[i]);
    printf("\n");
    for (unsigned i = 0; lort_multiplier_at(i); i++)
        if (lort_multiplier_runs(lort_multiplier_at(i)))
            measure(&bars, lort_multiplier_at(i), lort_multiplier_at(i + 1) != NULL);
    bench_bars_print(&bars);
    return 0;
}
