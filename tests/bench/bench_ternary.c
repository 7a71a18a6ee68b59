/* bench_ternary: trits and factors beside integers of the same bytes, matrix by matrix, on GPT-2's
 * attention and kjv-3m.
 *
 *   bench_ternary        BENCH=short: every sixth matrix
 *
 * LoRT codes each matrix in BF16, as a model of its own, by --residual ternary at some ranks. Then
 * it codes the matrix by integers, to a file no larger. Bits are those of the payload. Errors are
 * relative, the mean over the matrices. T alone, its scales and trits, has a line too. */
#include "tests/bench/bench.h"

#include "loader/store/archive.h"
#include "tests/numerics/matrices.h"

static const int64_t ranks[] = {0, 4, 8, 16, 32};
enum { RANKS = sizeof ranks / sizeof ranks[0] };

typedef struct weighed {
    double bits, trit_bits, error;
    uint64_t file_bytes;
} weighed;

static weighed code_by(const bench_files *f, lort_options *options)
{
    lort_report report;
    lort_archive *archive;
    lort_error err;
    const lort_tensor_report *tensor = bench_compress(f, options, &report);
    weighed out = {.error = tensor->rel_error, .file_bytes = report.output_bytes};
    bench_ok(lort_archive_open(f->coded, &lort_alloc_heap, &archive, &err), &err);
    const lort_part *part = lort_archive_find(archive, "w", 1);
    out.bits = 8.0 * (double)part->payload_bytes;
    for (uint64_t i = 0; i < part->chunk_count; i++)
        out.trit_bits +=
            part->chunks[i].array >> 24 >= LORT_ARRAY_SCALES ? 8.0 * part->chunks[i].stored : 0;
    lort_archive_close(archive);
    lort_report_free(&report);
    return out;
}

typedef struct tally {
    bench_choice choice;
    int matrices;
    bench_files files;
    double weights;
    struct {
        double bits, trit_bits, error, integer_bits, integer_error;
        int wins; /* matrices on which trits are better */
    } rank[RANKS];
} tally;

static void measure(const char *name, matrix *m, void *ctx)
{
    tally *t = ctx;
    if (!bench_takes(&t->choice, name, m->rows, m->cols))
        return;
    bench_write_bf16(t->files.model, m->rows, m->cols, m->at);
    t->matrices++;
    t->weights += (double)(m->rows * m->cols);
    for (unsigned k = 0; k < RANKS; k++) {
        lort_options options;
        lort_options_init(&options);
        options.residual = LORT_RESIDUAL_TERNARY;
        options.goal = LORT_GOAL_RANK;
        options.rank = ranks[k];
        const weighed trits = code_by(&t->files, &options);
        lort_options_init(&options);
        options.goal = LORT_GOAL_SIZE;
        options.size_bytes = trits.file_bytes;
        const weighed integers = code_by(&t->files, &options);
        t->rank[k].bits += trits.bits;
        t->rank[k].trit_bits += trits.trit_bits;
        t->rank[k].error += trits.error;
        t->rank[k].integer_bits += integers.bits;
        t->rank[k].integer_error += integers.error;
        t->rank[k].wins += trits.error < integers.error;
    }
}

static void run(const char *title, const char *const *paths, tally t)
{
    const double begin = bench_now();
    t.choice.every = bench_every();
    t.files = bench_files_make("safetensors");
    for (; *paths; paths++)
        visit_safetensors(*paths, measure, &t);
    bench_files_remove(&t.files);
    if (t.matrices == 0) {
        printf("%s skipped: not here\n\n", title);
        return;
    }
    printf("%s, %d of %d matrices, %.1f s. Bits per weight and error of trits and factors, and of "
           "integers in as many bytes\n",
           title, t.matrices, t.choice.seen, bench_now() - begin);
    printf("%5s %9s %9s %9s %9s %9s %12s\n", "rank", "T alone", "bits", "error", "integers",
           "error", "trits better");
    for (unsigned k = 0; k < RANKS; k++)
        printf("%5" PRId64 " %9.3f %9.3f %9.4f %9.3f %9.4f %12d\n", ranks[k],
               t.rank[k].trit_bits / t.weights, t.rank[k].bits / t.weights,
               t.rank[k].error / t.matrices, t.rank[k].integer_bits / t.weights,
               t.rank[k].integer_error / t.matrices, t.rank[k].wins);
    printf("\n");
}

int main(void)
{
    run("GPT-2 attention", bench_gpt2, (tally){.choice = {.prefix = "", .rows = 768, .cols = 768}});
    run("kjv-3m", bench_kjv, (tally){.choice = {.prefix = "model.layers."}});
    return 0;
}
