/* Writes the seeds of tests/fuzz/corpus/repaired: containers that lort_compress makes of tiny
 * models, in the loose form of fuzz_loose.h. Run it from the root of the tree after a format has
 * changed:
 *
 *   make build/release/tests/fuzz/make_repaired && build/release/tests/fuzz/make_repaired */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/lort.h"
#include "fuzz_loose.h"
#include "loader/store/archive.h"
#include "tests/unit/container_fixture.h"
#include "tests/unit/tiny_model.h"

#define SEEDS "tests/fuzz/corpus/repaired"

static lort_codec *codec;
static char dir[32];
static unsigned turn;

/* Appends the bytes to which a part's chunks decode. */
static void put_content(const lort_archive *archive, const lort_part *part, lort_buffer *out)
{
    for (uint64_t i = 0; i < part->chunk_count; i++) {
        const uint32_t n = part->chunks[i].decoded;
        uint8_t *bytes = malloc(n + 1), *planes = malloc(n + 1);
        assert_true(bytes && planes);
        assert_int_equal(
            lort_archive_chunk(archive, part, i, codec,
                               part->chunks[i].array >> 24 == LORT_ARRAY_BLOCKS ? NULL : planes,
                               bytes, NULL),
            LORT_OK);
        lort_put_bytes(out, bytes, n);
        free(bytes);
        free(planes);
    }
}

static void put_part(const lort_archive *archive, const lort_part *part, lort_buffer *out)
{
    lort_buffer body = {.alloc = &lort_alloc_heap}, content = body;
    lort_part_put(part, &body);
    put_content(archive, part, &content);
    lort_put_u8(out, 0);
    loose_put_run(out, body.data, body.size);
    loose_put_run(out, content.data, content.size);
    lort_buffer_free(&body);
    lort_buffer_free(&content);
}

/* Writes the part with all its slices in no term: zeros that are stored nowhere. side: of its
 * matrices, 0: as they are. */
static void put_zeros(const lort_archive *archive, const lort_part *like, int64_t side,
                      lort_buffer *out)
{
    static uint32_t none[16];
    lort_part part = *like;
    lort_term terms[LORT_TERMS_MAX];
    int64_t dims[LORT_MAX_DIMS];
    memcpy(terms, part.terms, part.term_count * sizeof *terms);
    memcpy(dims, part.dims, part.n_dims * sizeof *dims);
    for (uint32_t i = 0; i < part.term_count; i++)
        terms[i].rank = none;
    for (uint32_t i = part.n_dims - 2; side && i < part.n_dims; i++)
        dims[i] = side;
    part.terms = terms;
    part.dims = dims;
    part.chunk_count = part.payload_bytes = 0;
    put_part(archive, &part, out);
}

typedef enum seed_kind { SEED_PLAIN, SEED_ZEROS, SEED_HUGE_ZEROS } seed_kind;

static void seed(const char *name, uint8_t how, const char *container, seed_kind kind)
{
    lort_archive *archive;
    lort_buffer out = {.alloc = &lort_alloc_heap}, body = out;
    assert_int_equal(lort_archive_open(container, &lort_alloc_heap, &archive, NULL), LORT_OK);
    lort_put_u8(&out, how);
    lort_put_u8(&out, (uint8_t)(4 + turn++ % 3)); /* a tensor, and every type by turns */
    lort_model_record_put(lort_archive_model(archive), &body);
    loose_put_run(&out, body.data, body.size);
    lort_buffer_free(&body);
    for (uint64_t i = 0; i < lort_archive_count(archive); i++) {
        const lort_part *part = lort_archive_part(archive, i);
        if (kind == SEED_PLAIN || lort_part_is_raw(part))
            put_part(archive, part, &out);
        else
            put_zeros(archive, part, kind == SEED_ZEROS ? 0 : 1 << 27, &out);
    }
    lort_archive_close(archive);
    mkdir(SEEDS, 0755);
    tiny_write_buffer(SEEDS, name, &out);
}

/* Compresses a model below dir, and seeds its container. */
static void seed_model(const char *name, uint8_t how, const char *model,
                       const lort_options *options, seed_kind kind)
{
    lort_report report = {0};
    lort_error err = {0};
    if (lort_compress(tiny_path(dir, model), tiny_path(dir, "c.lort"), options, NULL, &report,
                      &err))
        fail_msg("%s: %s", name, err.message);
    lort_report_free(&report);
    seed(name, how, tiny_path(dir, "c.lort"), kind);
    assert_int_equal(unlink(tiny_path(dir, "c.lort")), 0);
}

static lort_options options_of(lort_goal goal, lort_residual residual, double value)
{
    lort_options options;
    lort_options_init(&options);
    options.goal = goal;
    options.residual = residual;
    options.value = value;
    options.rank = 2;
    options.min_dim = 4;
    options.threads = 1;
    return options;
}

static void seed_all_ways(const char *name, const char *model)
{
    static const struct {
        const char *name;
        lort_goal goal;
        lort_residual residual;
        double value;
    } ways[] = {{"kept", LORT_GOAL_LOSSLESS, LORT_RESIDUAL_AUTO, 0},
                {"factors", LORT_GOAL_RANK, LORT_RESIDUAL_NONE, 0},
                {"integers", LORT_GOAL_ERROR, LORT_RESIDUAL_INT, 0.2},
                {"trits", LORT_GOAL_ERROR, LORT_RESIDUAL_TERNARY, 0.9}};
    char whole[60];
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        const lort_options options = options_of(ways[i].goal, ways[i].residual, ways[i].value);
        snprintf(whole, sizeof whole, "%s-%s", name, ways[i].name);
        seed_model(whole, 0, model, &options, SEED_PLAIN);
        if (model[0] != 's') { /* one file: its header can be made */
            snprintf(whole, sizeof whole, "%s-%s-made", name, ways[i].name);
            seed_model(whole, LOOSE_HEADERS, model, &options, SEED_PLAIN);
        }
    }
}

static void seed_models(void)
{
    float low[32 * 24];
    tiny_fill_rank(low, 32, 24, 2, 5);
    tiny_tensor tensors[] = {TINY("a.weight", "F32", 32, 24), TINY("b.bias", "F16", 16),
                             TINY("c.weight", "BF16", 24, 16), TINY("d", "F32", 2, 8, 16),
                             TINY("q", "Q8_0", 2, 32)};
    const char *const pairs[] = {"a.weight", "model-00001-of-00002.safetensors", "b.bias",
                                 "model-00002-of-00002.safetensors", NULL};
    tensors[0].values = low;
    tiny_gguf(dir, "m.gguf", tensors, 5, NULL);
    tiny_safetensors(dir, "m.safetensors", tensors, 4);
    assert_int_equal(mkdir(tiny_path(dir, "shards"), 0700), 0);
    tiny_index(dir, "shards/model.safetensors.index.json", pairs);
    tiny_safetensors(dir, "shards/model-00001-of-00002.safetensors", tensors, 1);
    tiny_safetensors(dir, "shards/model-00002-of-00002.safetensors", tensors + 1, 1);
    tiny_text(dir, "shards/config.json", "{}");
    seed_all_ways("gguf", "m.gguf");
    seed_all_ways("safetensors", "m.safetensors");
    seed_all_ways("shards", "shards");
    tiny_gguf(dir, "small.gguf", tensors + 1, 1, NULL);
    tiny_safetensors(dir, "zero.safetensors", tensors, 0);
    const lort_options kept = options_of(LORT_GOAL_LOSSLESS, LORT_RESIDUAL_AUTO, 0);
    seed_model("one-gguf", LOOSE_HEADERS, "small.gguf", &kept, SEED_PLAIN);
    seed_model("no-tensor", 0, "zero.safetensors", &kept, SEED_PLAIN);
    const lort_options factors = options_of(LORT_GOAL_RANK, LORT_RESIDUAL_NONE, 0);
    seed_model("zeros", LOOSE_HEADERS, "m.safetensors", &factors, SEED_ZEROS);
    seed_model("zeros-huge", LOOSE_HEADERS, "m.safetensors", &factors, SEED_HUGE_ZEROS);
}

/* An embedding with scaled rows, and a matrix; both have two outliers. */
static void seed_outliers(void)
{
    enum { HIGH = 50, WIDE = 40, ALL = HIGH * WIDE };
    static float values[ALL];
    tiny_tensor tensors[] = {TINY("token_embd.weight", "F32", HIGH, WIDE),
                             TINY("b.weight", "BF16", HIGH, WIDE)};
    const lort_options integers = options_of(LORT_GOAL_ERROR, LORT_RESIDUAL_INT, 0.3),
                       trits = options_of(LORT_GOAL_ERROR, LORT_RESIDUAL_TERNARY, 0.9),
                       factors = options_of(LORT_GOAL_RANK, LORT_RESIDUAL_NONE, 0);
    tiny_fill_noise(values, ALL, 3);
    values[77] = 3e4f;
    values[1234] = -2e3f;
    tensors[0].values = tensors[1].values = values;
    tiny_safetensors(dir, "outliers.safetensors", tensors, 2);
    seed_model("outliers-integers", LOOSE_HEADERS, "outliers.safetensors", &integers, SEED_PLAIN);
    seed_model("outliers-trits", 0, "outliers.safetensors", &trits, SEED_PLAIN);
    seed_model("outliers-factors", 0, "outliers.safetensors", &factors, SEED_PLAIN);
}

/* Convolutions, and a head that is the same as an embedding. */
static void seed_shapes(void)
{
    tiny_tensor tensors[] = {
        TINY("conv.weight", "F32", 12, 4, 3, 3), TINY("embed.weight", "F16", 16, 24),
        TINY("head.weight", "F16", 16, 24), TINY("conv.again", "F32", 12, 4, 3, 3)};
    static float values[432];
    tiny_fill_noise(values, 432, 9);
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++)
        tensors[i].values = values;
    tiny_safetensors(dir, "shapes.safetensors", tensors, 4);
    seed_all_ways("shapes", "shapes.safetensors");
}

/* A directory with folders. */
static void seed_tree(void)
{
    tiny_tensor tensor = TINY("a.weight", "BF16", 16, 12);
    const lort_options kept = options_of(LORT_GOAL_LOSSLESS, LORT_RESIDUAL_AUTO, 0),
                       integers = options_of(LORT_GOAL_ERROR, LORT_RESIDUAL_INT, 0.2);
    static const char *const folders[] = {"tree", "tree/unet", "tree/vae", "tree/vae/deep"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        assert_int_equal(mkdir(tiny_path(dir, folders[i]), 0700), 0);
    tiny_text(dir, "tree/model_index.json", "{}");
    tiny_text(dir, "tree/unet/config.json", "{}");
    tiny_text(dir, "tree/vae/deep/merges.txt", "x");
    tiny_safetensors(dir, "tree/unet/model.safetensors", &tensor, 1);
    tiny_safetensors(dir, "tree/vae/model.safetensors", &tensor, 1);
    seed_model("tree-kept", 0, "tree", &kept, SEED_PLAIN);
    seed_model("tree-integers", 0, "tree", &integers, SEED_PLAIN);
    seed_model("tree-made", LOOSE_HEADERS, "tree", &kept, SEED_PLAIN);
}

/* A GGUF file whose second tensor has a type that LoRT does not know. */
static void seed_opaque(void)
{
    static const uint8_t before[] = {1, 0, 0, 0, 0, 0, 0, 0, 'q', 2, 0, 0, 0};
    static uint8_t bytes[1 << 16];
    tiny_tensor tensors[] = {TINY("a.weight", "F16", 16, 12), TINY("q", "Q8_0", 2, 32)};
    const lort_options kept = options_of(LORT_GOAL_LOSSLESS, LORT_RESIDUAL_AUTO, 0);
    tiny_gguf(dir, "opaque.gguf", tensors, 2, NULL);
    FILE *f = fopen(tiny_path(dir, "opaque.gguf"), "rb");
    assert_non_null(f);
    const size_t n = fread(bytes, 1, sizeof bytes, f);
    assert_int_equal(fclose(f), 0);
    uint8_t *at = memmem(bytes, n, before, sizeof before);
    assert_non_null(at);
    at[sizeof before + 16] = 200; /* behind two dimensions */
    tiny_write(dir, "opaque.gguf", bytes, n);
    seed_model("opaque", 0, "opaque.gguf", &kept, SEED_PLAIN);
    seed_model("opaque-made", LOOSE_HEADERS, "opaque.gguf", &kept, SEED_PLAIN);
}

static void seed_fixture(void)
{
    static fixture f;
    fixture_build(&f);
    tiny_write(dir, "fixture.lort", f.file.data, f.file.size);
    seed("fixture", 0, tiny_path(dir, "fixture.lort"), SEED_PLAIN);
    seed("fixture-small-chunks", LOOSE_CHUNKS_SMALL, tiny_path(dir, "fixture.lort"), SEED_PLAIN);
    fixture_free(&f);
}

int main(void)
{
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    tiny_dir(dir);
    seed_models();
    seed_outliers();
    seed_shapes();
    seed_tree();
    seed_opaque();
    seed_fixture();
    tiny_remove(dir);
    lort_codec_close(codec);
    return 0;
}
