/* bench_difference: the use of low rank. It measures bits saved in the difference of two models,
 * fine-tuned minus base, against integers alone.
 *
 *   bench_difference        BENCH=short: every sixth matrix
 *
 * kjv-3m: each matrix W gets an update dW = A B of rank 16. A and B are normal numbers, scaled to a
 * share of W's norm. W' = W + dW is rounded to bf16 or not, and D = W' - W is coded in f32.
 * Rounding leaves noise of full rank in D. Its share of D's norm bounds the gain of low rank.
 *
 * lora-gpt2: the updates B A alpha / r of a real adapter, as they are. lort_compress codes each D
 * as a model of its own, with components and without. Bits are those of the payload and of the
 * step. */
#include "tests/bench/bench.h"

#include "compress/math/random.h"
#include "formats/inputs/header.h"
#include "loader/store/archive.h"
#include "tests/numerics/matrices.h"

#define STEP_BYTES 4
#define RANK 16
#define SEED 20        /* of the updates */
#define LORA_SCALE 1.0 /* lora_alpha / r of the adapter, both 8 */
#define LORA "../shared/models/lora-gpt2/adapter_model.safetensors"

static const double errors[] = {0.3, 0.1, 0.05, 0.02};
static const int64_t max_ranks[] = {-1, 0}; /* -1: the default */
enum { ERRORS = sizeof errors / sizeof errors[0], WAYS = sizeof max_ranks / sizeof max_ranks[0] };

typedef struct tally {
    double share; /* norm of the update over that of W; 0: a matrix is an update itself */
    bool rounded;
    int every, seen, matrices, skipped;
    bench_files files;
    double weights, noise; /* noise: sum of the shares of rounding in D's norm */
    struct {
        double bits[WAYS];
        int64_t rank;
        int ranked, missed;
    } at[ERRORS];
} tally;

/* ---- updates ---- */

/* Returns entry `place` of stream `key`, about normal: the sum of four uniform numbers. */
static double noise_of(uint64_t key, uint32_t place)
{
    const uint32_t place4[4] = {place, 0, 0, 0}, key2[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
    uint32_t x[4];
    lort_philox4x32(place4, key2, x);
    return ((double)x[0] + (double)x[1] + (double)x[2] + (double)x[3]) * 0x1p-32 - 2;
}

static float *noise_matrix(uint64_t key, int64_t rows, int64_t cols)
{
    float *x = malloc((size_t)(rows * cols) * sizeof *x);
    for (int64_t i = 0; i < rows * cols; i++)
        x[i] = (float)noise_of(key, (uint32_t)i);
    return x;
}

static double norm2_of(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

/* Returns a (rows x rank) times b (rank x cols), times scale. */
static matrix product(const float *a, const float *b, int64_t rows, int64_t rank, int64_t cols,
                      double scale)
{
    matrix out = matrix_make(rows, cols);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < rank; k++)
            for (int64_t c = 0; c < cols; c++)
                out.at[r * cols + c] += a[r * rank + k] * b[k * cols + c];
    for (int64_t i = 0; i < rows * cols; i++)
        out.at[i] = (float)(scale * (double)out.at[i]);
    return out;
}

static matrix make_update(const tally *t, const char *name, const matrix *m)
{
    uint64_t hash = 14695981039346656037u;
    for (const char *c = name; *c; c++)
        hash = (hash ^ (uint8_t)*c) * 1099511628211u;
    float *a = noise_matrix(lort_matrix_key(SEED, hash, 0), m->rows, RANK),
          *b = noise_matrix(lort_matrix_key(SEED, hash, 1), RANK, m->cols);
    matrix update = product(a, b, m->rows, RANK, m->cols, 1);
    const int64_t n = m->rows * m->cols;
    const double scale = t->share * sqrt(norm2_of(m->at, n) / norm2_of(update.at, n));
    for (int64_t i = 0; i < n; i++)
        update.at[i] = (float)(scale * (double)update.at[i]);
    free(a);
    free(b);
    return update;
}

/* Turns `update` into W' - W. Returns the share of its norm that is rounding. */
static double make_difference(const matrix *m, matrix *update, bool rounded)
{
    double noise2 = 0;
    const int64_t n = m->rows * m->cols;
    for (int64_t i = 0; i < n; i++) {
        float tuned = m->at[i] + update->at[i];
        uint8_t half[2];
        if (rounded) {
            lort_store_bf16(&tuned, half, 1);
            lort_load_bf16(half, &tuned, 1);
        }
        const double d = (double)(tuned - m->at[i]) - (double)update->at[i];
        noise2 += d * d;
        update->at[i] = tuned - m->at[i];
    }
    return sqrt(noise2 / norm2_of(update->at, n));
}

/* ---- coding ---- */

static double payload_bits(const bench_files *f)
{
    lort_archive *archive;
    lort_error err;
    bench_ok(lort_archive_open(f->coded, &lort_alloc_heap, &archive, &err), &err);
    const lort_part *part = lort_archive_find(archive, "w", 1);
    const double bits = 8.0 * (double)(part->payload_bytes + STEP_BYTES);
    lort_archive_close(archive);
    return bits;
}

static void code(tally *t, const matrix *d)
{
    lort_report report;
    bench_write_safetensors(t->files.model, lort_dtype_get(LORT_F32), d->rows, d->cols, d->at);
    t->matrices++;
    t->weights += (double)(d->rows * d->cols);
    for (unsigned e = 0; e < ERRORS; e++)
        for (unsigned w = 0; w < WAYS; w++) {
            lort_options options;
            lort_options_init(&options);
            options.goal = LORT_GOAL_ERROR;
            options.value = errors[e];
            options.max_rank = max_ranks[w] < 0 ? options.max_rank : max_ranks[w];
            const lort_tensor_report *tensor = bench_compress(&t->files, &options, &report);
            t->at[e].bits[w] += payload_bits(&t->files);
            t->at[e].rank += tensor->rank;
            t->at[e].ranked += tensor->rank > 0;
            t->at[e].missed += tensor->action == LORT_ACTION_KEPT || tensor->rel_error > errors[e];
            lort_report_free(&report);
        }
}

static void visit(const char *name, matrix *m, void *ctx)
{
    tally *t = ctx;
    if (t->seen++ % t->every)
        return;
    matrix d = make_update(t, name, m);
    t->noise += make_difference(m, &d, t->rounded);
    code(t, &d);
    free(d.at);
}

/* ---- the adapter ---- */

static uint8_t *read_whole(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    bench_need(fseek(file, 0, SEEK_END) == 0 && ftell(file) > 0, path);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size);
    bench_need(fread(bytes, 1, *size, file) == *size && fclose(file) == 0, path);
    return bytes;
}

static void code_pair(tally *t, const uint8_t *bytes, const lort_tensor *a, const lort_tensor *b)
{
    float *right = malloc(a->elements * sizeof *right), *left = malloc(b->elements * sizeof *left);
    a->type->decode(bytes + a->offset, right, a->elements);
    b->type->decode(bytes + b->offset, left, b->elements);
    matrix d = product(left, right, b->dims[0], a->dims[0], a->dims[1], LORA_SCALE);
    free(left);
    free(right);
    code(t, &d);
    free(d.at);
}

/* Visits every lora_A with its lora_B. Returns false if the file is absent. */
static bool visit_adapter(tally *t)
{
    static const char tail[] = "lora_A.weight";
    lort_header header = {0};
    lort_error err;
    uint64_t wanted;
    size_t size;
    char name[300];
    uint8_t *bytes = read_whole(LORA, &size);
    if (!bytes)
        return false;
    bench_ok(lort_header_parse(bytes, size, size, &lort_alloc_heap, &header, &wanted, &err), &err);
    for (uint64_t i = 0; i < header.index.count; i++) {
        const lort_tensor *a = &header.index.tensors[i];
        const char *at = strstr(a->name, tail);
        if (!at || t->seen++ % t->every)
            continue;
        const int n =
            snprintf(name, sizeof name, "%.*slora_B.weight", (int)(at - a->name), a->name);
        const lort_tensor *b = lort_index_find(&header.index, name, (uint64_t)n);
        bench_need(b && a->n_dims == 2 && b->n_dims == 2 && b->dims[1] == a->dims[0], name);
        code_pair(t, bytes, a, b);
    }
    lort_header_free(&header);
    free(bytes);
    return true;
}

/* ---- the table ---- */

static void print_rows(const tally *t)
{
    printf("%8s %10s %10s %8s %10s %8s\n", "error", "low rank", "integers", "saved", "factored",
           "rank");
    for (unsigned e = 0; e < ERRORS; e++) {
        const double with = t->at[e].bits[0] / t->weights, alone = t->at[e].bits[1] / t->weights;
        printf("%8.2f %10.3f %10.3f %6.1f %% %4d of %2d %8.1f", errors[e], with, alone,
               100 * (1 - with / alone), t->at[e].ranked, t->matrices,
               t->at[e].ranked ? (double)t->at[e].rank / t->at[e].ranked : 0);
        printf(t->at[e].missed ? "  %d kept or above the error\n" : "\n", t->at[e].missed);
    }
    printf("\n");
}

static tally begin(double share, bool rounded)
{
    return (tally){.share = share,
                   .rounded = rounded,
                   .every = bench_every(),
                   .files = bench_files_make("safetensors")};
}

static void run_synthetic(double share, bool rounded)
{
    tally t = begin(share, rounded);
    for (const char *const *path = bench_kjv; *path; path++)
        visit_safetensors(*path, visit, &t);
    bench_files_remove(&t.files);
    if (t.matrices == 0) {
        printf("kjv-3m skipped: not here\n\n");
        return;
    }
    printf("Difference of kjv-3m and itself plus an update of rank %d (seed %d) of %g %% of each "
           "matrix's norm, %s: rounding is %.4f of the difference. %d matrices, bits per weight\n",
           RANK, SEED, 100 * share, rounded ? "stored in bf16" : "in f32", t.noise / t.matrices,
           t.matrices);
    print_rows(&t);
}

static void run_adapter(void)
{
    tally t = begin(0, false);
    const bool found = visit_adapter(&t);
    bench_files_remove(&t.files);
    if (!found || t.matrices == 0) {
        printf("lora-gpt2 skipped: %s\n\n", found ? "no such matrix" : "not here");
        return;
    }
    printf(
        "Updates of a LoRA adapter of GPT-2 (rank 8, 2304 x 768), %d matrices, bits per weight\n",
        t.matrices);
    print_rows(&t);
}

int main(void)
{
    lort_blas_start(NULL);
    run_synthetic(0.02, true);
    run_synthetic(0.02, false);
    run_adapter();
    return 0;
}
