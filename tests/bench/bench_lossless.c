/* bench_lossless: the share of its size that a matrix takes when it is stored losslessly, by
 * element type, on real matrices.
 *
 *   bench_lossless        BENCH=short: every sixth matrix
 *
 * The matrices are of bf16 (GPT-2, kjv-3m, TinyStories) or of f32 (stories260K). The program turns
 * each into the other types and compresses it as a model of its own. It compares the restored
 * matrix byte by byte. Shares count the tensor's chunks and its record. */
#include "tests/bench/bench.h"

#include "formats/types/half.h"
#include "tests/numerics/matrices.h"
#include "tests/unit/sized.h"

#define Q8_WEIGHTS 32

/* As llama.cpp's reference quantiser does it: an f16 scale, 32 signed bytes. */
static void store_q8_0(const float *src, void *dst, uint64_t n)
{
    uint8_t *at = dst;
    for (uint64_t i = 0; i < n; i += Q8_WEIGHTS, at += Q8_WEIGHTS + 2) {
        float most = 0;
        for (uint64_t k = 0; k < Q8_WEIGHTS; k++)
            most = fmaxf(most, fabsf(src[i + k]));
        const float scale = most / 127, inverse = scale > 0 ? 1 / scale : 0;
        lort_store_f16(&scale, at, 1);
        for (uint64_t k = 0; k < Q8_WEIGHTS; k++)
            at[2 + k] = (uint8_t)(int8_t)roundf(src[i + k] * inverse);
    }
}

/* Weights of bf16 as if they had been trained in f32: the low half is noise. */
static void store_filled(const float *src, void *dst, uint64_t n)
{
    uint64_t x = 88172645463325252u;
    lort_store_f32(src, dst, n);
    for (uint64_t i = 0; i < n; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        lort_store_u16((uint8_t *)dst + 4 * i, (uint16_t)(x >> 40));
    }
}

enum { OF_BF16 = 1, OF_F32 = 2, OF_ANY = 3 };
static const struct kind {
    const char *name;
    lort_dtype type;
    lort_encode_fn *store;
    double bar;    /* the largest share that passes */
    unsigned from; /* the matrices to use */
    bool gguf;
} kinds[] = {
    {"BF16", LORT_BF16, lort_store_bf16, 0.68, OF_ANY, false},
    {"F16", LORT_F16, lort_store_f16, 0.86, OF_ANY, false},
    {"Q8_0", LORT_Q8_0, store_q8_0, 0.955, OF_ANY, true},
    {"F32 of bf16", LORT_F32, lort_store_f32, 0.36, OF_BF16, false},
    {"F32 filled", LORT_F32, store_filled, 0.85, OF_BF16, false},
    {"F32", LORT_F32, lort_store_f32, 0.85, OF_F32, false},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static const char *const tiny[] = {
    "../shared/models/tinystories-656k-safetensors/model.safetensors", NULL};
static const char *const stories[] = {"../shared/models/gguf-variants/stories260K-f32.safetensors",
                                      NULL};
static const char *const all_types = "../shared/models/gpt2-quant-golden/gpt2-h0-q-ALLTYPES.gguf";

static const struct model {
    const char *title;
    const char *const *paths;
    unsigned is;
} models[] = {
    {"GPT-2 attention", bench_gpt2, OF_BF16},
    {"kjv-3m", bench_kjv, OF_BF16},
    {"TinyStories-656K", tiny, OF_BF16},
    {"stories260K", stories, OF_F32},
};

typedef struct tally {
    const struct kind *kind;
    bench_files files;
    int every, seen, matrices;
    uint64_t in, out;
} tally;

static void check_back(const tally *t, const void *bytes, size_t n)
{
    const lort_restore_options options = {RESTORE_SIZE,
                                          .run = &(lort_run_options){RUN_SIZE, .threads = 1},
                                          .tensor = "w", .force = true};
    lort_report report = {0};
    lort_error err;
    uint8_t *back = malloc(n + 1);
    bench_ok(lort_restore(t->files.coded, t->files.back, &options, NULL, &report, &err), &err);
    FILE *file = fopen(t->files.back, "rb");
    bench_need(file && fread(back, 1, n + 1, file) == n && memcmp(back, bytes, n) == 0,
               "what comes back differs");
    fclose(file);
    free(back);
    lort_report_free(&report);
}

static void measure(const char *name, matrix *m, void *ctx)
{
    tally *t = ctx;
    const lort_dtype_info *type = lort_dtype_get(t->kind->type);
    lort_options options;
    lort_report report;
    (void)name;
    if (m->cols % Q8_WEIGHTS != 0 || t->seen++ % t->every)
        return;
    const size_t n = bench_bytes(type, m->rows, m->cols);
    void *bytes = malloc(n);
    t->kind->store(m->at, bytes, (uint64_t)(m->rows * m->cols));
    (t->kind->gguf ? bench_write_gguf : bench_write_safetensors)(t->files.model, type, m->rows,
                                                                 m->cols, bytes);
    lort_options_init(&options);
    options.goal = LORT_GOAL_LOSSLESS;
    const lort_tensor_report *tensor = bench_compress(&t->files, &options, &report);
    t->matrices++;
    t->in += tensor->bytes_in;
    t->out += tensor->bytes_out;
    lort_report_free(&report);
    check_back(t, bytes, n);
    free(bytes);
}

static void run(const struct model *model, const struct kind *kind)
{
    tally t = {.kind = kind,
               .every = bench_every(),
               .files = bench_files_make(kind->gguf ? "gguf" : "safetensors")};
    for (const char *const *path = model->paths; *path; path++)
        visit_safetensors(*path, measure, &t);
    bench_files_remove(&t.files);
    if (t.matrices == 0) {
        printf("%-17s %-12s skipped: not here\n", model->title, kind->name);
        return;
    }
    const double share = (double)t.out / (double)t.in;
    printf("%-17s %-12s %8d %10.2f %9.4f %7.3f  %s\n", model->title, kind->name, t.matrices,
           (double)t.in / 1e6, share, kind->bar, share <= kind->bar ? "met" : "MISSED");
}

/* Runs one matrix of GPT-2 in every type of llama.cpp. */
static void run_all_types(void)
{
    bench_files files = bench_files_make("gguf");
    lort_options options;
    lort_report report = {0};
    lort_error err;
    FILE *there = fopen(all_types, "rb");
    if (there) {
        fclose(there);
        lort_options_init(&options);
        options.goal = LORT_GOAL_LOSSLESS;
        options.threads = 1;
        bench_ok(lort_compress(all_types, files.coded, &options, NULL, &report, &err), &err);
        printf("\none matrix of 768 x 768 in every type, share left:");
        for (uint64_t i = 0; i < report.tensor_count; i++)
            printf("%s%-8s %.4f", i % 6 ? "   " : "\n  ", report.tensors[i].dtype,
                   (double)report.tensors[i].bytes_out / (double)report.tensors[i].bytes_in);
        printf("\n");
        lort_report_free(&report);
    }
    bench_files_remove(&files);
}

int main(void)
{
    printf("%-17s %-12s %8s %10s %9s %7s\n", "lossless", "type", "matrices", "MB", "share", "bar");
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
        for (unsigned k = 0; k < KINDS; k++)
            if (kinds[k].from & models[i].is)
                run(&models[i], &kinds[k]);
    run_all_types();
    return 0;
}
