/* bench_encoders: errors and times of the encoders of ggml's block types beside llama.cpp's own, on
 * GPT-2's attention.
 *
 *   LORT_ORACLE=FOLDER bench_encoders [TYPE ...]        BENCH=short: every sixth matrix
 *
 * FOLDER is that of ../shared/oracle/kl.py. LORT_GGML_LIB may name libggml-base.so instead. For
 * each type: the mean of the ratios of mean squared errors, without importance and with it; the
 * worst ratio of a matrix; nanoseconds of processor time a weight of both encoders, one thread.
 * With importance the errors are weighted by it. Every block is decoded by both libraries, and the
 * numbers must be equal bits; ggml_validate_row_data must accept it. So must blocks of numbers of
 * every size. */
#include "tests/bench/bench.h"
#include "tests/bench/ggml.h"

#include "formats/types/encode.h"
#include "tests/numerics/matrices.h"

#define ROWS 256 /* of each matrix */
#define MOST_SUM 500.0
#define GGML_PLACE "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64/libggml-base.so"

/* Bars: the ratio of errors, and of times (0: none). summed: its time counts for MOST_SUM. */
static const struct kind {
    lort_dtype id;
    double error, time;
    bool summed;
} kinds[] = {
    {LORT_Q2_K, .80, 0, true},  {LORT_Q3_K, .93, 0, true},    {LORT_IQ4_XS, .94, 0, true},
    {LORT_Q4_K, .96, 1, true},  {LORT_Q5_K, .91, 0, true},    {LORT_Q6_K, .89, 1, true},
    {LORT_Q8_0, 1, 0, true},    {LORT_IQ4_NL, .98, 0, false}, {LORT_Q4_0, .98, 0, false},
    {LORT_Q4_1, .98, 0, false}, {LORT_Q5_0, .98, 0, false},   {LORT_Q5_1, .98, 0, false},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static ggml_library ggml;

static bool open_ggml(void)
{
    char path[4096];
    const char *file = getenv("LORT_GGML_LIB"), *folder = getenv("LORT_ORACLE");
    snprintf(path, sizeof path, file ? "%s" : "%s/" GGML_PLACE,
             file     ? file
             : folder ? folder
                      : ".");
    const bool open = ggml_open(&ggml, path);
    if (!open)
        printf("bench_encoders skipped: neither LORT_GGML_LIB nor LORT_ORACLE leads to "
               "libggml-base.so: %s\n",
               dlerror());
    return open;
}

static double processor_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Both encoders' errors and times: 0 ours, 1 ggml's. */
typedef struct tally {
    bench_choice choice;
    int matrices, only_count;
    char **only;
    struct {
        double ratio, weighted, worst, seconds[2], weights;
        int wrong, invalid;
    } kind[KINDS];
} tally;

static double error_of(const float *x, const float *y, const float *importance, int64_t rows,
                       int64_t cols)
{
    double sum = 0;
    for (int64_t i = 0; i < rows * cols; i++) {
        const double d = (double)x[i] - (double)y[i];
        sum += d * d * (importance ? (double)importance[i % cols] : 1);
    }
    return sum;
}

static void run(const struct kind *kind, bool ours, const float *x, const float *importance,
                int64_t rows, int64_t cols, void *coded)
{
    const size_t bytes = bench_bytes(lort_dtype_get(kind->id), 1, cols);
    if (ours)
        for (int64_t r = 0; r < rows; r++)
            lort_dtype_quantiser(kind->id)(x + r * cols, importance, (uint64_t)cols,
                                           (char *)coded + (size_t)r * bytes);
    else
        ggml.quantise((int)kind->id, x, coded, 0, rows, cols, importance);
}

/* Decodes blocks of ours with both libraries into `back`, and counts what differs or is refused. */
static void check(tally *t, int k, const void *coded, float *back, int64_t n)
{
    const lort_dtype_info *type = lort_dtype_get(kinds[k].id);
    float *again = malloc((size_t)n * sizeof *again);
    ggml.traits((int)kinds[k].id)->to_float(coded, back, n);
    type->decode(coded, again, (uint64_t)n);
    t->kind[k].wrong += memcmp(back, again, (size_t)n * sizeof *again) != 0;
    t->kind[k].invalid += !ggml.validate((int)kinds[k].id, coded, bench_bytes(type, 1, n));
    free(again);
}

/* Returns ours over ggml's error. */
static double compare(tally *t, int k, const float *x, const float *importance, int64_t rows,
                      int64_t cols)
{
    void *coded = malloc(bench_bytes(lort_dtype_get(kinds[k].id), rows, cols));
    float *back = malloc((size_t)(rows * cols) * sizeof *back);
    double error[2];
    for (int who = 0; who < 2; who++) {
        const double begin = processor_now();
        run(&kinds[k], who == 0, x, importance, rows, cols, coded);
        t->kind[k].seconds[who] += importance ? 0 : processor_now() - begin;
        if (who == 0)
            check(t, k, coded, back, rows * cols);
        else
            ggml.traits((int)kinds[k].id)->to_float(coded, back, rows * cols);
        error[who] = error_of(x, back, importance, rows, cols);
    }
    free(coded);
    free(back);
    return error[0] / error[1];
}

/* Numbers of every size, from subnormal to nearly infinite, and zeros. */
static void hard_blocks(tally *t, int k)
{
    enum { N = 768 };
    float x[N] = {0}, back[N];
    char coded[2 * N];
    for (int e = -150; e <= 127; e++) {
        for (int i = 0; i < N - 256; i++)
            x[i] = ldexpf((float)((i * 37 + e) % 64) / 32 - 1, e);
        run(&kinds[k], true, x, NULL, 1, N, coded);
        check(t, k, coded, back, N);
    }
}

static bool wanted(const tally *t, int k)
{
    for (int i = 0; i < t->only_count; i++)
        if (strcmp(t->only[i], lort_dtype_get(kinds[k].id)->name) == 0)
            return true;
    return t->only_count == 0;
}

static void measure(const char *name, matrix *m, void *ctx)
{
    tally *t = ctx;
    if (!bench_takes(&t->choice, name, m->rows, m->cols) || m->cols % 256 != 0)
        return;
    const int64_t rows = m->rows < ROWS ? m->rows : ROWS;
    float *importance = malloc((size_t)m->cols * sizeof *importance);
    uint32_t state = 1;
    for (int64_t c = 0; c < m->cols; c++) { /* from 1/16 to 16, and a few that are far larger */
        state = state * 1664525u + 1013904223u;
        importance[c] = exp2f((float)(state >> 16) / 8192.0f - 4) * (state % 61 == 0 ? 50 : 1);
    }
    t->matrices++;
    for (int k = 0; k < KINDS; k++) {
        if (!wanted(t, k))
            continue;
        const double ratio = compare(t, k, m->at, NULL, rows, m->cols);
        t->kind[k].ratio += ratio;
        t->kind[k].worst = fmax(t->kind[k].worst, ratio);
        t->kind[k].weighted += compare(t, k, m->at, importance, rows, m->cols);
        t->kind[k].weights += (double)(rows * m->cols);
    }
    free(importance);
}

static void row(const tally *t, int k)
{
    const double n = t->matrices, ratio = t->kind[k].ratio / n, weighted = t->kind[k].weighted / n,
                 ns = 1e9 * t->kind[k].seconds[0] / t->kind[k].weights,
                 peer = 1e9 * t->kind[k].seconds[1] / t->kind[k].weights;
    const bool fine = ratio <= kinds[k].error && weighted <= 1 && !t->kind[k].wrong &&
                      !t->kind[k].invalid && (kinds[k].time <= 0 || ns <= peer * kinds[k].time);
    printf("%-7s %6.4f %6.4f %7.2f %9.4f %8.1f %8.1f%s%s%s\n", lort_dtype_get(kinds[k].id)->name,
           ratio, t->kind[k].worst, kinds[k].error, weighted, ns, peer,
           t->kind[k].wrong ? "  DECODES DIFFERENTLY" : "", t->kind[k].invalid ? "  INVALID" : "",
           fine ? "" : "  MISSES ITS BAR");
}

int main(int argc, char **argv)
{
    tally t = {.choice = {.prefix = "transformer.h.", .every = bench_every()}};
    double sum = 0;
    t.only = argv + 1;
    t.only_count = argc - 1;
    if (!open_ggml())
        return 0;
    for (const char *const *file = bench_gpt2; *file; file++)
        if (!visit_safetensors(*file, measure, &t)) {
            printf("bench_encoders skipped: %s is not there\n", *file);
            return 0;
        }
    printf("errors over llama.cpp's, %d matrices\n", t.matrices);
    printf("type      mean  worst   bar<=  weighted  ns a weight  its\n");
    for (int k = 0; k < KINDS; k++)
        if (wanted(&t, k)) {
            hard_blocks(&t, k);
            row(&t, k);
            sum += kinds[k].summed ? 1e9 * t.kind[k].seconds[0] / t.kind[k].weights : 0;
        }
    printf("candidates one after the other: %.0f ns a weight, bar <= %.0f%s\n", sum, MOST_SUM,
           sum <= MOST_SUM ? "" : "  MISSES ITS BAR");
    return 0;
}
