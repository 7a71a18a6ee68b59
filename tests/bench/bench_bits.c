/* bench_bits: bits that LoRT's integers save at the errors of llama.cpp's quantisers, matrix by
 * matrix, on GPT-2's attention and kjv-3m.
 *
 *   LORT_GGML_LIB=.../libggml-base.so bench_bits        BENCH=short: every sixth matrix
 *
 * Each matrix goes through a quantiser of ggml and back, which gives an error. Then lort_compress
 * codes the matrix, as a model of its own, with that error as the target. Bits are those of the
 * payload (with codes and block heads) and of the step. The error is unweighted and relative, of
 * the f32 values that come back.
 *
 * Floors and goals apply to that reading. The second reading pools a model's matrices, with one
 * relative error for all of them together. LoRT spreads that error so that every weight of every
 * matrix has the same error. One step for all matrices would do that too. */
#include "tests/bench/bench.h"
#include "tests/bench/ggml.h"

#include "compress/coder/block.h"
#include "loader/store/archive.h"
#include "tests/numerics/matrices.h"

#define STEP_BYTES 4
#define MOST_ERROR 0.95 /* largest error of one matrix when they are pooled */
#define MOST_MATRICES 256

/* Floors and goals, in percent of the bits saved. */
static const struct peer {
    const char *name;
    int type;
    double floor, goal;
} peers[] = {
    {"Q8_0", 8, 8, 15},    {"Q6_K", 14, 8, 12},  {"Q5_K", 13, 8, 14},  {"Q4_K", 12, 10, 17},
    {"IQ4_XS", 23, 7, 14}, {"Q3_K", 11, 13, 22}, {"Q2_K", 10, 21, 33},
};
enum { PEERS = sizeof peers / sizeof peers[0] };

/* The ways to code that are compared. Floors and goals apply to the first. */
static void with_integers(lort_options *options) { options->residual = LORT_RESIDUAL_INT; }
static void integers_alone(lort_options *options)
{
    options->residual = LORT_RESIDUAL_INT;
    options->max_rank = 0; /* the control: it shows the worth of low rank beside integers */
}
static const struct way {
    const char *name;
    void (*configure)(lort_options *options);
} ways[] = {{"LoRT", with_integers}, {"no rank", integers_alone}};
enum { WAYS = sizeof ways / sizeof ways[0] };

/* ---- llama.cpp ---- */

static ggml_library ggml;

static bool open_ggml(void)
{
    const char *path = getenv("LORT_GGML_LIB");
    const bool open = path && ggml_open(&ggml, path);
    if (!open)
        printf("bench_bits skipped: LORT_GGML_LIB names no libggml-base.so%s%s\n", path ? ": " : "",
               path ? dlerror() : "");
    return open;
}

/* Returns the relative error of the quantiser, and its bytes. */
static double peer_error(const matrix *m, int type, uint64_t *bytes)
{
    const int64_t n = m->rows * m->cols;
    void *coded = malloc((size_t)n * 4);
    float *back = malloc((size_t)n * sizeof *back);
    double error2 = 0, norm2 = 0;
    *bytes = ggml.quantise(type, m->at, coded, 0, m->rows, m->cols, NULL);
    ggml.traits(type)->to_float(coded, back, n);
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)m->at[i] - (double)back[i];
        error2 += d * d;
        norm2 += (double)m->at[i] * (double)m->at[i];
    }
    free(coded);
    free(back);
    return sqrt(error2 / norm2);
}

/* ---- LoRT ---- */

typedef struct coded {
    /* Entropies in bits, of all integers as one and with a table per stream; 0: unknown. */
    double bits, error, entropy, stream_entropy;
    bool reached;
    char why[96]; /* why the matrix is kept */
} coded;

/* Returns the bits of `count` symbols with a table of their own that costs nothing. */
static double entropy_of(const int16_t *k, uint64_t count)
{
    static uint32_t seen[1 << 16];
    double bits = 0;
    for (uint64_t i = 0; i < count; i++)
        seen[(uint16_t)k[i]]++;
    for (uint64_t i = 0; i < count; i++) {
        const uint32_t n = seen[(uint16_t)k[i]];
        if (n)
            bits -= n * log2((double)n / (double)count);
        seen[(uint16_t)k[i]] = 0;
    }
    return bits;
}

/* Sorts the k of a block context by context. */
static void sort_by_context(const lort_block *block, const lort_integers *q, int16_t *k)
{
    int16_t *at[LORT_CONTEXTS];
    at[0] = k;
    for (unsigned s = 1; s < LORT_CONTEXTS; s++)
        at[s] = at[s - 1] + q->count[s - 1];
    for (int64_t r = 0; r < block->rows; r++)
        for (int64_t c = 0; c < block->cols; c++) {
            const int16_t value =
                q->coded[(r / LORT_LANES * block->cols + c) * LORT_LANES + r % LORT_LANES];
            *at[2 * lort_block_class(block, block->row_codes[r] + block->col_codes[c]) +
                (value & 1)]++ = (int16_t)(value >> 1);
        }
}

/* Finds the integers of one block again, from step and codes. */
static void block_entropy(const matrix *m, const lort_block_place *place, const uint8_t *codes,
                          float step, coded *out)
{
    lort_block block = {.rows = place->rows,
                        .cols = place->cols,
                        .row_codes = codes + place->row,
                        .col_codes = codes + m->rows + place->col};
    const int64_t n = place->rows * place->cols;
    float *weights = malloc((size_t)n * sizeof *weights);
    void *scratch = malloc((size_t)lort_quantise_scratch(n, place->cols) + 64);
    int16_t *k = malloc((size_t)n * sizeof *k);
    lort_integers q;
    for (int64_t i = 0; i < m->rows * m->cols; i++)
        block.mean2 += (double)m->at[i] * m->at[i] / ((double)m->rows * (double)m->cols);
    for (int64_t r = 0; r < place->rows; r++)
        memcpy(weights + r * place->cols, m->at + (place->row + r) * m->cols + place->col,
               (size_t)place->cols * sizeof *weights);
    lort_block_classes(&block);
    lort_integers_of_block(&block, weights, step, scratch, &q);
    sort_by_context(&block, &q, k);
    out->entropy += entropy_of(k, (uint64_t)n);
    for (uint64_t s = 0, at = 0; s < LORT_CONTEXTS; at += q.count[s], s++)
        out->stream_entropy += entropy_of(k + at, q.count[s]);
    free(weights);
    free(scratch);
    free(k);
}

static void find_entropy(const matrix *m, const lort_archive *archive, const lort_part *part,
                         float step, coded *out)
{
    lort_error err;
    lort_codec *codec;
    uint64_t first, count;
    uint8_t *codes = malloc((size_t)(m->rows + m->cols)), *scratch = malloc(LORT_CHUNK_MAX);
    const lort_block_grid grid = lort_block_grid_of(m->rows, m->cols);
    bench_ok(lort_codec_open(1, &codec, &err), &err);
    lort_part_array(part, LORT_ARRAY_CODES, 0, &first, &count);
    bench_need(count == 1, "the codes are one chunk");
    bench_ok(lort_archive_chunk(archive, part, first, codec, scratch, codes, &err), &err);
    for (int64_t i = 0; i < grid.down * grid.across; i++) {
        const lort_block_place place = lort_block_get(&grid, i);
        block_entropy(m, &place, codes, step, out);
    }
    lort_codec_close(codec);
    free(codes);
    free(scratch);
}

/* Measures the bits of the tensor in f->coded. Measures entropies too, if they are wanted and the
 * tensor is integers and nothing else. */
static void weigh(const bench_files *f, const matrix *m, bool entropies, coded *out)
{
    lort_archive *archive;
    lort_error err;
    bench_ok(lort_archive_open(f->coded, &lort_alloc_heap, &archive, &err), &err);
    const lort_part *part = lort_archive_find(archive, "w", 1);
    out->bits = 8.0 * (double)(part->payload_bytes + STEP_BYTES);
    if (entropies && part->term_count == 1 && part->terms[0].kind == LORT_TERM_INTEGERS)
        find_entropy(m, archive, part, part->terms[0].step[0], out);
    lort_archive_close(archive);
}

static coded code_at(const bench_files *f, const matrix *m, double error, const struct way *way,
                     bool entropies)
{
    lort_options options;
    lort_report report;
    coded out = {0};
    lort_options_init(&options);
    options.goal = LORT_GOAL_ERROR;
    options.value = error;
    way->configure(&options);
    const lort_tensor_report *tensor = bench_compress(f, &options, &report);
    out.error = tensor->rel_error;
    out.reached = tensor->action != LORT_ACTION_KEPT && tensor->rel_error <= error;
    snprintf(out.why, sizeof out.why, "%.60s", tensor->reason_text);
    weigh(f, m, entropies, &out);
    lort_report_free(&report);
    return out;
}

/* ---- the table ---- */

typedef struct tally {
    bench_choice choice;
    int matrices;
    bench_files files;
    double weights;
    struct {
        double bits, error, error_reached, ways[WAYS];
        /* of matrices whose entropy is known */
        double coded, weights, entropy, stream_entropy;
        int kept;
        char why[160]; /* why the first of them is kept */
    } peer[PEERS];
    struct {
        double count, norm2;
    } each[MOST_MATRICES]; /* matrix */
    struct {
        double error2;        /* squared, absolute, of the quantiser, over all weights */
        double weight_error2; /* squared error of each weight that adds up to this */
        double ways[WAYS], reached2;
    } pooled[PEERS];
} tally;

static void tally_judged(tally *t, unsigned p, const char *name, const matrix *m, const coded *c)
{
    t->peer[p].error_reached += c->error;
    t->peer[p].coded += c->entropy > 0 ? c->bits : 0;
    t->peer[p].weights += c->entropy > 0 ? (double)(m->rows * m->cols) : 0;
    if (!c->reached && t->peer[p].kept++ == 0)
        snprintf(t->peer[p].why, sizeof t->peer[p].why, "%.60s: %s", name, c->why);
    t->peer[p].entropy += c->entropy;
    t->peer[p].stream_entropy += c->stream_entropy;
}

static void measure(const char *name, matrix *m, void *ctx)
{
    tally *t = ctx;
    double norm2 = 0;
    if (!bench_takes(&t->choice, name, m->rows, m->cols))
        return;
    bench_need(t->matrices < MOST_MATRICES, "too many matrices");
    for (int64_t i = 0; i < m->rows * m->cols; i++)
        norm2 += (double)m->at[i] * (double)m->at[i];
    bench_write_bf16(t->files.model, m->rows, m->cols, m->at);
    t->each[t->matrices].count = (double)(m->rows * m->cols);
    t->each[t->matrices++].norm2 = norm2;
    t->weights += (double)(m->rows * m->cols);
    for (unsigned p = 0; p < PEERS; p++) {
        uint64_t peer_bytes;
        const double error = peer_error(m, peers[p].type, &peer_bytes);
        t->peer[p].bits += 8.0 * (double)peer_bytes;
        t->peer[p].error += error;
        t->pooled[p].error2 += error * error * norm2;
        for (unsigned w = 0; w < WAYS; w++) {
            const coded c = code_at(&t->files, m, error, &ways[w], w == 0);
            t->peer[p].ways[w] += c.bits;
            if (w == 0)
                tally_judged(t, p, name, m, &c);
        }
    }
}

/* ---- matrices pooled ---- */

/* Returns the squared error of a matrix if each of its weights has weight_error2. */
static double share_of(const tally *t, int i, double weight_error2)
{
    return fmin(weight_error2 * t->each[i].count, MOST_ERROR * MOST_ERROR * t->each[i].norm2);
}

static void find_weight_error(tally *t, unsigned p)
{
    double low = 0, high = t->pooled[p].error2;
    for (int tries = 0; tries < 200; tries++) {
        const double middle = (low + high) / 2;
        double sum = 0;
        for (int i = 0; i < t->matrices; i++)
            sum += share_of(t, i, middle);
        *(sum < t->pooled[p].error2 ? &low : &high) = middle;
    }
    t->pooled[p].weight_error2 = low;
}

static void measure_pooled(const char *name, matrix *m, void *ctx)
{
    tally *t = ctx;
    if (!bench_takes(&t->choice, name, m->rows, m->cols))
        return;
    bench_write_bf16(t->files.model, m->rows, m->cols, m->at);
    for (unsigned p = 0; p < PEERS; p++)
        for (unsigned w = 0; w < WAYS; w++) {
            const double norm2 = t->each[t->matrices].norm2,
                         error = sqrt(share_of(t, t->matrices, t->pooled[p].weight_error2) / norm2);
            const coded c = code_at(&t->files, m, error, &ways[w], false);
            t->pooled[p].ways[w] += c.bits;
            t->pooled[p].reached2 += w == 0 ? c.error * c.error * norm2 : 0;
        }
    t->matrices++;
}

static void run_pooled(const char *const *paths, tally *t)
{
    double norm2 = 0;
    for (int i = 0; i < t->matrices; i++)
        norm2 += t->each[i].norm2;
    for (unsigned p = 0; p < PEERS; p++)
        find_weight_error(t, p);
    t->choice.seen = t->matrices = 0;
    for (; *paths; paths++)
        visit_safetensors(*paths, measure_pooled, t);
    printf("The same matrices pooled (not judged): one error for all of them together, spread by "
           "LoRT evenly over the weights\n");
    printf("%-7s %8s %8s %9s", "type", "error", "LoRT's", "llama.cpp");
    for (unsigned w = 0; w < WAYS; w++)
        printf(" %8s", ways[w].name);
    printf(" %8s\n", "saved");
    for (unsigned p = 0; p < PEERS; p++) {
        printf("%-7s %8.5f %8.5f %9.3f", peers[p].name, sqrt(t->pooled[p].error2 / norm2),
               sqrt(t->pooled[p].reached2 / norm2), t->peer[p].bits / t->weights);
        for (unsigned w = 0; w < WAYS; w++)
            printf(" %8.3f", t->pooled[p].ways[w] / t->weights);
        printf(" %6.1f %%\n", 100 * (1 - t->pooled[p].ways[0] / t->peer[p].bits));
    }
    printf("\n");
}

static void print_row(const tally *t, unsigned p)
{
    const double bits = t->peer[p].ways[0], saved = 100 * (1 - bits / t->peer[p].bits),
                 allowed = bits / t->weights > 3.5 ? 2 : 4;
    const double over = 100 * (t->peer[p].coded / t->peer[p].entropy - 1),
                 over_streams = 100 * (t->peer[p].coded / t->peer[p].stream_entropy - 1);
    printf("%-7s %8.5f %8.5f %9.3f", peers[p].name, t->peer[p].error / t->matrices,
           t->peer[p].error_reached / t->matrices, t->peer[p].bits / t->weights);
    for (unsigned w = 0; w < WAYS; w++)
        printf(" %8.3f", t->peer[p].ways[w] / t->weights);
    printf(" %6.1f %% %5.0f %% %5.0f %%  %-6s %-6s %8.3f %6.2f %% %-6s %8.3f %6.2f %%\n", saved,
           peers[p].floor, peers[p].goal, saved >= peers[p].floor ? "met" : "MISSED",
           saved >= peers[p].goal ? "met" : "missed", t->peer[p].entropy / t->peer[p].weights, over,
           over <= allowed ? "met" : "missed", t->peer[p].stream_entropy / t->peer[p].weights,
           over_streams);
    if (t->peer[p].kept)
        printf("        %d of %d matrices kept; %s\n", t->peer[p].kept, t->matrices,
               t->peer[p].why);
}

static void run(const char *title, const char *const *paths, tally t)
{
    const char *const *path = paths;
    const double begin = bench_now();
    unsigned found = 0;
    t.choice.every = bench_every();
    t.files = bench_files_make("safetensors");
    for (; *path; path++)
        found += visit_safetensors(*path, measure, &t);
    if (t.matrices == 0) {
        printf("%s skipped: %s\n\n", title, found ? "no such matrix" : "not here");
        bench_files_remove(&t.files);
        return;
    }
    printf("%s, %d of %d matrices, %.1f s. Bits per weight at the same error; entropies of the "
           "integers as one, and stream by stream\n",
           title, t.matrices, t.choice.seen, bench_now() - begin);
    printf("%-7s %8s %8s %9s", "type", "error", "LoRT's", "llama.cpp");
    for (unsigned w = 0; w < WAYS; w++)
        printf(" %8s", ways[w].name);
    printf(" %8s %7s %7s  %-6s %-6s %8s %8s %-6s %8s %8s\n", "saved", "floor", "goal", "floor",
           "goal", "order 0", "over it", "", "streams", "over it");
    for (unsigned p = 0; p < PEERS; p++)
        print_row(&t, p);
    printf("\n");
    run_pooled(paths, &t);
    bench_files_remove(&t.files);
}

int main(void)
{
    if (!open_ggml())
        return 0;
    run("GPT-2 attention", bench_gpt2, (tally){.choice = {.prefix = "", .rows = 768, .cols = 768}});
    run("kjv-3m", bench_kjv, (tally){.choice = {.prefix = "model.layers."}});
    return 0;
}
