/* Tests of the plan, which LoRT makes from headers alone: candidates, memory, and the mode. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/goal/goal.h"
#include "compress/goal/kinds.h"
#include "compress/plan/plan.h"
#include "formats/base/glob.h"
#include "tests/unit/main.h"
#include "tests/unit/tiny_run.h"

#include <math.h>

#define MIB (UINT64_C(1) << 20)

static char dir[32];

static int set_up(void **state)
{
    tiny_dir(dir);
    return 0;
}

static int tear_down(void **state)
{
    tiny_remove(dir);
    return 0;
}

/* ---- reasons ---- */

typedef struct wanted {
    tiny_tensor tensor;
    const char *reason; /* "" = a candidate */
} wanted;

static void check_reasons(const tiny_run *run, const wanted *list, size_t count)
{
    uint64_t tried = 0;
    for (size_t i = 0; i < count; i++) {
        const lort_tensor_plan *planned = tiny_run_planned(run, list[i].tensor.name);
        if (strcmp(lort_reason_text(planned->reason), list[i].reason) != 0)
            fail_msg("%s: '%s', wanted '%s'", list[i].tensor.name,
                     lort_reason_text(planned->reason), list[i].reason);
        assert_int_equal(planned->candidate, list[i].reason[0] == '\0');
        assert_int_equal(planned->workspace > 0, planned->candidate);
        assert_int_equal(planned->pending > 0, planned->candidate);
        tried += planned->candidate;
    }
    assert_int_equal(run->plan.candidates, tried);
}

static size_t tensors_of(const wanted *list, size_t count, tiny_tensor *tensors)
{
    for (size_t i = 0; i < count; i++)
        tensors[i] = list[i].tensor;
    return count;
}

#define COUNT(list) (sizeof(list) / sizeof *(list))

static const wanted floats[] = {
    {TINY("layers.0.q.weight", "F32", 40, 40), ""},
    {TINY("layers.0.k.weight", "F64", 40, 40), ""},
    {TINY("layers.0.experts", "BF16", 3, 40, 40), ""},
    {TINY("layers.0.v.weight", "F8_E4M3", 40, 40), ""},
    {TINY("layers.1.v.weight", "F8_E4M3", 40, 40), "F8 with scale companion"},
    {TINY("layers.1.v.weight_scale_inv", "F32", 1), "companion of a packed weight"},
    {TINY("layers.0.bias", "F32", 4096), "fewer than two dimensions"},
    {TINY("layers.0.none", "F32", 0, 64), "empty"},
    {TINY("layers.0.low", "F32", 31, 4000), "a side under --min-dim"},
    {TINY("layers.0.narrow", "F32", 4000, 31), "a side under --min-dim"},
    {TINY("layers.0.mask", "BOOL", 40, 40), "type is kept, never decoded"},
    {TINY("layers.0.ids", "I64", 40, 40), "type is kept, never decoded"},
    {TINY("model.embed_tokens.weight", "F16", 40, 40), "embedding or output head"},
    {TINY("lm_head.weight", "F16", 40, 40), "embedding or output head"},
    {TINY("layers.0.left.out", "F16", 40, 40), "excluded"},
};

static void every_tensor_kept_has_its_reason(void **state)
{
    tiny_tensor tensors[COUNT(floats)];
    tiny_run run;
    const char *exclude[] = {"*.left.*"};
    tiny_safetensors(dir, "m.safetensors", tensors, tensors_of(floats, COUNT(floats), tensors));
    tiny_run_open(&run, tiny_path(dir, "m.safetensors"), TINY_PLENTY, 1);
    run.options.exclude = exclude;
    run.options.exclude_count = 1;
    tiny_ok(tiny_run_plan(&run), &run.err);
    check_reasons(&run, floats, COUNT(floats));
    assert_int_equal(tiny_run_planned(&run, "layers.0.experts")->shape.slices, 3);
    assert_null(run.plan.tensors[0].tensor); /* the header */
    assert_false(run.plan.tensors[0].candidate);
    tiny_run_close(&run);
}

/* ---- views ---- */

static void shapes_are_seen_as_matrices(void **state)
{
    static const struct {
        tiny_tensor tensor;
        int64_t slices, rows, cols;
        bool convolution;
    } list[] = {
        {TINY("conv2d", "F16", 64, 40, 3, 3), 1, 64, 360, true},
        {TINY("conv1d", "F16", 64, 40, 16), 1, 64, 640, true},
        {TINY("point", "F16", 64, 40, 1, 1), 1, 64, 40, true},
        {TINY("depth", "F16", 64, 1, 3, 3), 1, 64, 9, true}, /* the squarer way */
        {TINY("wide", "F16", 64, 40, 17), 1, 64, 680, true}, /* no convolution, but small */
        {TINY("stack", "F16", 3, 40, 40), 3, 40, 40, false},
        {TINY("low", "F16", 40, 8, 64), 1, 320, 64, false}, /* rows of all slices */
        {TINY("rows", "F16", 64, 1, 40), 1, 64, 40, false},
        {TINY("matrix", "F16", 40, 40), 1, 40, 40, false},
        {TINY("few", "F16", 8, 32, 3), 1, 8, 96, true}, /* O is below --min-dim */
    };
    tiny_tensor tensors[COUNT(list)];
    tiny_run run;
    const char *include[] = {"*"};
    for (size_t i = 0; i < COUNT(list); i++)
        tensors[i] = list[i].tensor;
    tiny_safetensors(dir, "m.safetensors", tensors, COUNT(list));
    tiny_run_open(&run, tiny_path(dir, "m.safetensors"), TINY_PLENTY, 1);
    run.options.include = include;
    run.options.include_count = 1;
    tiny_ok(tiny_run_plan(&run), &run.err);
    for (size_t i = 0; i < COUNT(list); i++) {
        const lort_tensor_plan *planned = tiny_run_planned(&run, list[i].tensor.name);
        const lort_matrices *m = &planned->shape;
        if (!planned->candidate || m->slices != list[i].slices || m->rows != list[i].rows ||
            m->cols != list[i].cols || planned->convolution != list[i].convolution)
            fail_msg("%s: %lld of %lld x %lld", list[i].tensor.name, (long long)m->slices,
                     (long long)m->rows, (long long)m->cols);
    }
    tiny_run_close(&run);
}

static void slices_below_min_dim_stay_kept(void **state)
{
    static const wanted list[] = {
        {TINY("conv", "F16", 64, 40, 3, 3), ""},
        {TINY("depth", "F16", 64, 1, 3, 3), "a side under --min-dim"},
        {TINY("wide", "F16", 64, 40, 17), "a side under --min-dim"},
        {TINY("few", "F16", 31, 64, 3), "a side under --min-dim"},
    };
    tiny_tensor tensors[COUNT(list)];
    tiny_run run;
    tiny_safetensors(dir, "m.safetensors", tensors, tensors_of(list, COUNT(list), tensors));
    tiny_run_open(&run, tiny_path(dir, "m.safetensors"), TINY_PLENTY, 1);
    tiny_ok(tiny_run_plan(&run), &run.err);
    check_reasons(&run, list, COUNT(list));
    tiny_run_close(&run);
}

/* ---- equal tensors ---- */

static float noise[2][64 * 64], zeros[64 * 64];

static void equal_tensors_have_one_origin(void **state)
{
    const struct {
        tiny_tensor tensor;
        const char *origin; /* NULL: stored by itself */
    } list[] = {
        {{"model.embed_tokens.weight", "F32", 2, {64, 64}, noise[0]}, NULL},
        {{"a", "F32", 2, {64, 64}, noise[1]}, NULL}, /* one weight differs, between the samples */
        {{"b", "F32", 2, {32, 128}, noise[0]}, NULL},
        {{"c", "F32", 3, {1, 64, 64}, noise[0]}, NULL},
        {{"z0", "F32", 2, {64, 64}, zeros}, NULL},
        {{"z1", "F32", 2, {64, 64}, zeros}, NULL},
        {{"s0", "F32", 1, {32}, noise[0]}, NULL},
        {{"s1", "F32", 1, {32}, noise[0]}, NULL}, /* too few bytes */
        {{"lm_head.weight", "F32", 2, {64, 64}, noise[0]}, "model.embed_tokens.weight"},
        {{"third", "F32", 2, {64, 64}, noise[0]}, "model.embed_tokens.weight"},
    };
    tiny_tensor tensors[COUNT(list)];
    tiny_run run;
    for (int i = 0; i < 64 * 64; i++)
        noise[0][i] = noise[1][i] = (float)(i * 7919 % 4096 - 2048);
    noise[1][1500] += 1;
    for (size_t i = 0; i < COUNT(list); i++)
        tensors[i] = list[i].tensor;
    tiny_safetensors(dir, "m.safetensors", tensors, COUNT(list));
    tiny_run_open(&run, tiny_path(dir, "m.safetensors"), TINY_PLENTY, 1);
    run.options.goal = LORT_GOAL_ERROR;
    run.options.residual = LORT_RESIDUAL_INT;
    run.options.value = 0.1;
    tiny_ok(tiny_run_plan(&run), &run.err);
    for (size_t i = 0; i < COUNT(list); i++) {
        const lort_tensor_plan *planned = tiny_run_planned(&run, list[i].tensor.name);
        if (planned->same != (list[i].origin != NULL) || (planned->same && planned->candidate))
            fail_msg("%s: same %d", list[i].tensor.name, planned->same);
        if (planned->same)
            assert_string_equal(run.plan.tensors[planned->origin].tensor->name, list[i].origin);
    }
    const lort_tensor_plan *origin = tiny_run_planned(&run, "model.embed_tokens.weight");
    assert_true(origin->candidate);
    assert_true(origin->kind.by_row);
    assert_int_equal(origin->kind.size, 8); /* a tied head: 4 log2 6 - 2 eighths */
    tiny_run_close(&run);
}

static void what_keeps_one_keeps_the_group(void **state)
{
    const tiny_tensor tensors[] = {{"a", "F32", 2, {64, 64}, noise[0]},
                                   {"b", "F32", 2, {64, 64}, noise[0]}};
    const char *exclude[] = {"b"};
    tiny_run run;
    tiny_safetensors(dir, "m.safetensors", tensors, 2);
    tiny_run_open(&run, tiny_path(dir, "m.safetensors"), TINY_PLENTY, 1);
    run.options.exclude = exclude;
    run.options.exclude_count = 1;
    tiny_ok(tiny_run_plan(&run), &run.err);
    assert_int_equal(tiny_run_planned(&run, "a")->reason, LORT_REASON_EXCLUDED);
    assert_false(tiny_run_planned(&run, "a")->candidate);
    assert_int_equal(tiny_run_planned(&run, "b")->reason, LORT_REASON_SAME);
    tiny_run_close(&run);
}

static void block_types_are_kept(void **state)
{
    static const wanted list[] = {
        {TINY("blk.0.a", "Q8_0", 64, 64), "already block-quantised"},
        {TINY("blk.0.b", "IQ2_XXS", 64, 256), "type is kept, never decoded"},
        {TINY("blk.0.c", "F16", 64, 64), ""},
        {TINY("token_embd.weight", "F16", 64, 64), "embedding or output head"},
    };
    tiny_tensor tensors[COUNT(list)];
    tiny_run run;
    tiny_gguf(dir, "m.gguf", tensors, tensors_of(list, COUNT(list), tensors), NULL);
    tiny_run_open(&run, tiny_path(dir, "m.gguf"), TINY_PLENTY, 1);
    tiny_ok(tiny_run_plan(&run), &run.err);
    check_reasons(&run, list, COUNT(list));
    tiny_run_close(&run);
}

static void include_overrides_habits_but_no_facts(void **state)
{
    static const wanted list[] = {
        {TINY("a", "Q8_0", 64, 64), ""},
        {TINY("token_embd.weight", "F16", 64, 64), ""},
        {TINY("b", "F16", 8, 64), ""},
        {TINY("c", "F16", 64), "fewer than two dimensions"},
        {TINY("d", "I32", 64, 64), "type is kept, never decoded"},
        {TINY("e.both", "F16", 64, 64), "excluded"},
    };
    tiny_tensor tensors[COUNT(list)];
    tiny_run run;
    const char *include[] = {"nothing", "*"}, *exclude[] = {"?.both"};
    tiny_gguf(dir, "m.gguf", tensors, tensors_of(list, COUNT(list), tensors), NULL);
    tiny_run_open(&run, tiny_path(dir, "m.gguf"), TINY_PLENTY, 1);
    run.options.include = include;
    run.options.include_count = 2;
    run.options.exclude = exclude;
    run.options.exclude_count = 1;
    tiny_ok(tiny_run_plan(&run), &run.err);
    check_reasons(&run, list, COUNT(list));
    lort_plan_free(&run.plan, &run.session.alloc);
    run.options.goal = LORT_GOAL_LOSSLESS;
    tiny_ok(tiny_run_plan(&run), &run.err);
    for (size_t i = 0; i < COUNT(list); i++)
        assert_int_equal(tiny_run_planned(&run, list[i].tensor.name)->reason, LORT_REASON_LOSSLESS);
    assert_int_equal(run.plan.candidates, 0);
    tiny_run_close(&run);
}

static void globs_match_whole_names(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool match;
    } cases[] = {{"*", "", true},           {"", "", true},        {"", "a", false},
                 {"a", "a", true},          {"a", "ab", false},    {"*a", "bca", true},
                 {"*a", "bcab", false},     {"a*", "a", true},     {"?", "", false},
                 {"?b", "ab", true},        {"*ab*", "aab", true}, {"a*b*c", "a.b.b.c", true},
                 {"a*b*c", "a.c.b", false}, {"**", "x", true},     {"a.b", "aXb", false},
                 {"[a]", "a", false},       {"[a]", "[a]", true}};
    for (size_t i = 0; i < COUNT(cases); i++)
        if (lort_glob(cases[i].pattern, cases[i].name) != cases[i].match)
            fail_msg("'%s' on '%s'", cases[i].pattern, cases[i].name);
}

/* ---- targets ---- */

static void targets_follow_the_options(void **state)
{
    static const struct {
        lort_goal goal;
        int64_t rank, max_rank, rows, cols;
        lort_target want;
    } cases[] = {
        {LORT_GOAL_DEFAULT,
         0,
         256,
         1000,
         500,
         {.kind = LORT_TARGET_ERROR, .rank = 0, .value = 0.05, .max_rank = 256}},
        {LORT_GOAL_ERROR,
         0,
         256,
         100,
         500,
         {.kind = LORT_TARGET_ERROR, .rank = 0, .value = 0.25, .max_rank = 100}},
        {LORT_GOAL_ENERGY,
         0,
         30,
         100,
         500,
         {.kind = LORT_TARGET_ENERGY, .rank = 0, .value = 0.25, .max_rank = 30}},
        /* --max-rank limits searches only. */
        {LORT_GOAL_RANK,
         400,
         256,
         1000,
         500,
         {.kind = LORT_TARGET_RANK, .rank = 400, .value = 0, .max_rank = 400}},
        {LORT_GOAL_RANK,
         400,
         256,
         1000,
         50,
         {.kind = LORT_TARGET_RANK, .rank = 50, .value = 0, .max_rank = 50}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        lort_options options;
        lort_options_init(&options);
        options.goal = cases[i].goal;
        options.rank = cases[i].rank;
        options.max_rank = cases[i].max_rank;
        options.value = 0.25;
        lort_target got = lort_goal_target(&options, cases[i].rows, cases[i].cols);
        assert_int_equal(got.kind, cases[i].want.kind);
        assert_int_equal(got.rank, cases[i].want.rank);
        assert_int_equal(got.max_rank, cases[i].want.max_rank);
        assert_true(got.value == cases[i].want.value); /* NOLINT: taken over, not computed */
    }
}

/* Weights are negative only where other kinds get the bytes. Under a bound for each error no error
 * is above the bound. */
static void kinds_have_their_places(void **state)
{
    static const struct {
        const char *name, *kind;
        int size, error;
    } cases[] = {
        {"blk.0.attn_q.weight", "attention q", 0, 0},
        {"model.layers.1.self_attn.q_proj.weight", "attention q", 0, 0},
        {"blk.0.attn_k.weight", "attention k", 8, 0},
        {"model.layers.1.self_attn.k_proj.weight", "attention k", 8, 0},
        {"blk.11.attn_v.weight", "attention v", 6, 0},
        {"model.layers.1.self_attn.v_proj.weight", "attention v", 6, 0},
        {"blk.0.attn_qkv.weight", "attention q k v", 4, 0},
        {"transformer.h.0.attn.c_attn.weight", "attention q k v", 4, 0},
        {"blk.0.attn_output.weight", "attention output", 0, 0},
        {"model.layers.1.self_attn.o_proj.weight", "attention output", 0, 0},
        {"transformer.h.0.attn.c_proj.weight", "attention output", 0, 0},
        {"blk.0.ffn_gate.weight", "ffn gate", -2, 0},
        {"blk.0.ffn_gate_exps.weight", "ffn gate", -2, 0},
        {"blk.0.ffn_gate_shexp.weight", "ffn gate", -2, 0},
        {"model.layers.1.mlp.gate_proj.weight", "ffn gate", -2, 0},
        {"model.layers.1.mlp.experts.3.gate_proj.weight", "ffn gate", -2, 0},
        {"model.layers.1.mlp.gate_up_proj.weight", "ffn gate and up", -2, 0},
        {"blk.0.ffn_up.weight", "ffn up", -3, 0},
        {"blk.0.ffn_up_exps.weight", "ffn up", -3, 0},
        {"model.layers.1.mlp.up_proj.weight", "ffn up", -3, 0},
        {"transformer.h.0.mlp.c_fc.weight", "ffn up", -3, 0},
        {"blk.0.ffn_down.weight", "ffn down", 0, 0},
        {"blk.0.ffn_down_shexp.weight", "ffn down", 0, 0},
        {"model.layers.1.mlp.down_proj.weight", "ffn down", 0, 0},
        {"transformer.h.0.mlp.c_proj.weight", "ffn down", 0, 0},
        {"blk.0.ffn_gate_inp.weight", "moe router", 0, 0},
        {"model.layers.1.block_sparse_moe.gate.weight", "moe router", 0, 0},
        {"token_embd.weight", "embeddings", 0, 8},
        {"model.embed_tokens.weight", "embeddings", 0, 8},
        {"transformer.wte.weight", "embeddings", 0, 8},
        {"wpe", "embeddings", 0, 8},
        {"output.weight", "output head", 16, 16},
        {"lm_head.weight", "output head", 16, 16},
        {"blk.0.attn_q_norm.weight", "norms and biases", 0, 0},
        {"model.layers.0.output.weight", "others", 0, 0},
        {"w", "others", 0, 0},
    };
    lort_options options;
    lort_options_init(&options);
    for (size_t i = 0; i < COUNT(cases); i++) {
        const lort_kind_info *kind = lort_kind_get(cases[i].name);
        if (strcmp(lort_kind_name(lort_kind_of(cases[i].name)), cases[i].kind) != 0)
            fail_msg("%s is of kind %s", cases[i].name,
                     lort_kind_name(lort_kind_of(cases[i].name)));
        options.goal = LORT_GOAL_BPW;
        assert_int_equal(lort_goal_place(&options, kind), cases[i].size);
        options.goal = LORT_GOAL_SIZE;
        assert_int_equal(lort_goal_place(&options, kind), cases[i].size);
        options.goal = LORT_GOAL_ERROR;
        assert_int_equal(lort_goal_place(&options, kind), cases[i].error);
        options.goal = LORT_GOAL_DEFAULT;
        assert_int_equal(lort_goal_place(&options, kind), cases[i].error);
    }
    unsigned kinds = 0;
    while (lort_kind_name(kinds))
        kinds++;
    assert_in_range(kinds, 10, 31); /* the range in lort.h */
    for (int place = -20; place <= 40; place++)
        assert_true(fabs(lort_kind_scale(place) - exp2(-place / 8.0)) <=
                    1e-15 * exp2(-place / 8.0));
}

/* place = 4 log2(others / own) - 2, rounded down, 0 to 24. */
/* One tensor may be embedding and head, under the name of either. */
static void a_model_with_one_of_both_is_tied(void **state)
{
    static const char *const names[] = {"model.embed_tokens.weight", "lm_head.weight"};
    (void)state;
    for (unsigned i = 0; i < 3; i++) { /* the third model has both */
        tiny_tensor list[] = {{names[i % 2], "F32", 2, {64, 64}, noise[0]},
                              {"a.q_proj.weight", "F32", 2, {256, 256}, NULL},
                              {names[1], "F32", 2, {64, 64}, noise[1]}};
        tiny_run run;
        tiny_safetensors(dir, "m.safetensors", list, i < 2 ? 2 : 3);
        tiny_run_open(&run, tiny_path(dir, "m.safetensors"), TINY_PLENTY, 1);
        tiny_ok(tiny_run_plan(&run), &run.err);
        const lort_kind_info kind = tiny_run_planned(&run, names[i % 2])->kind;
        assert_true(kind.by_row);
        assert_int_equal(kind.size, i < 2 ? 14 : 0); /* 4 log2 16 - 2 eighths */
        tiny_run_close(&run);
    }
}

static void a_tied_embedding_is_placed_by_its_part(void **state)
{
    static const struct {
        uint64_t own, others;
        int place;
    } cases[] = {{1000, 0, 0},        {1000, 1, 0},        {1000, 1000, 0},
                 {1000, 1681, 0},     {1000, 1682, 1},     {1000, 2000, 2},
                 {1000, 16000, 14},   {1000, 90509, 23},   {1000, 90510, 24},
                 {1000, 1000000, 24}, {1, UINT64_MAX, 24}, {UINT64_MAX / 2, UINT64_MAX / 2, 0},
                 {1, UINT64_C(2), 2}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        const lort_kind_info kind = lort_kind_of_tied(cases[i].own, cases[i].others);
        if (kind.size != cases[i].place || kind.error != (kind.size > 8 ? kind.size : 8))
            fail_msg("case %zu: %d and %d", i, kind.size, kind.error);
        assert_true(kind.by_row);
        assert_string_equal(kind.name, "embeddings");
    }
}

static void names_of_heads_and_of_what_may_be_one(void **state)
{
    static const struct {
        const char *name;
        bool head, may;
    } cases[] = {{"output.weight", true, false},
                 {"lm_head.weight", true, false},
                 {"model.lm_head.weight", true, false},
                 {"embed_out.weight", true, false},
                 {"blk.0.attn_output.weight", false, false},
                 {"token_embd.weight", false, true},
                 {"model.embed_tokens.weight", false, true},
                 {"transformer.wte.weight", false, true},
                 {"wte", false, true},
                 {"gpt_neox.embed_in.weight", false, true},
                 {"shared.weight", false, true},
                 {"bert.embeddings.word_embeddings.weight", false, true},
                 {"transformer.wpe.weight", false, false},
                 {"position_embd.weight", false, false},
                 {"token_types.weight", false, false},
                 {"model.layers.0.mlp.up_proj.weight", false, false}};
    for (size_t i = 0; i < COUNT(cases); i++)
        if (lort_kind_is_head(cases[i].name) != cases[i].head ||
            lort_kind_may_be_head(cases[i].name) != cases[i].may)
            fail_msg("%s", cases[i].name);
}

/* Factors of the break-even rank may be smaller than the lossless form. Those of one rank more may
 * not. */
static void break_even_is_the_last_rank_that_pays(void **state)
{
    static const int64_t shapes[][2] = {{32, 32}, {64, 4096}, {4096, 4096}, {1, 1}};
    for (size_t i = 0; i < COUNT(shapes); i++)
        for (uint64_t bytes = 1; bytes < UINT64_C(1) << 40; bytes = 3 * bytes + 1) {
            int64_t rank = lort_goal_break_even(shapes[i][0], shapes[i][1], bytes);
            double each = 2 * LORT_FACTOR_SHRINK * (double)(shapes[i][0] + shapes[i][1]);
            assert_true((double)rank * each <= (double)bytes);
            assert_true((double)(rank + 1) * each > (double)bytes);
        }
    assert_int_equal(lort_goal_break_even(32, 32, 0), 0);
    assert_true(lort_goal_break_even(1, 1, UINT64_MAX) > 0);
}

static void the_options_text_has_what_decides_bytes_and_nothing_else(void **state)
{
    const char *include[] = {"a*"}, *exclude[] = {"b", "c?"};
    lort_buffer out = {.alloc = &lort_alloc_heap};
    lort_options options;
    lort_options_init(&options);
    options.include = include;
    options.include_count = 1;
    options.exclude = exclude;
    options.exclude_count = 2;
    options.mode = LORT_MODE_STREAM;
    options.memory_bytes = 12345678;
    options.threads = 77;
    options.seed = 9;
    options.zstd_level = 3;
    lort_goal_text(&options, &out);
    lort_put_u8(&out, 0);
    assert_string_equal((const char *)out.data,
                        "max-error=0.05 max-rank=256 residual=int min-dim=32 seed=9 zstd-level=3 "
                        "include=a* exclude=b exclude=c?");
    lort_buffer_free(&out);
    options.residual = LORT_RESIDUAL_NONE;
    lort_goal_text(&options, &out);
    lort_put_u8(&out, 0);
    assert_null(strstr((const char *)out.data, "residual"));
    lort_buffer_free(&out);
    lort_options_init(&options);
    options.goal = LORT_GOAL_RANK;
    options.rank = 7;
    lort_goal_text(&options, &out);
    lort_put_u8(&out, 0);
    tiny_says((const char *)out.data, "rank=7 min-dim=32");
    lort_buffer_free(&out);
}

/* ---- memory ---- */

static const tiny_tensor matrices[] = {TINY("a", "F32", 600, 400), TINY("b", "F16", 2000, 1000),
                                       TINY("c", "BF16", 4, 300, 300), TINY("d", "F32", 1000)};

static void assert_same_steps(const lort_work_plan *a, const lort_work_plan *b)
{
    assert_int_equal(a->count, b->count);
    for (uint64_t i = 0; i < a->count; i++) {
        assert_int_equal(a->tensors[i].candidate, b->tensors[i].candidate);
        assert_int_equal(a->tensors[i].reason, b->tensors[i].reason);
        assert_int_equal(a->tensors[i].pending, b->tensors[i].pending);
    }
    assert_int_equal(a->out_low, b->out_low);
    assert_int_equal(a->out_high, b->out_high);
    assert_true(a->out_low <= a->out_high);
}

static void plan_full(tiny_run *r, uint64_t memory)
{
    tiny_run_open(r, tiny_path(dir, "m.safetensors"), memory, 4);
    r->options.mode = LORT_MODE_FULL;
    r->options.goal = LORT_GOAL_RANK;
    r->options.rank = 8;
    tiny_ok(tiny_run_plan(r), &r->err);
}

/* All workers help with each slice where memory allows. If it does not, each slice has one worker,
 * before LoRT takes fewer threads. */
static void workers_help_each_other_where_memory_allows(void **state)
{
    tiny_run r;
    tiny_sparse(dir, "m.safetensors", matrices, COUNT(matrices));
    plan_full(&r, TINY_PLENTY);
    assert_true(r.plan.team);
    const uint64_t peak = r.plan.peak;
    tiny_run_close(&r);
    plan_full(&r, peak - (1 << 20));
    assert_false(r.plan.team);
    assert_int_equal(r.plan.threads, 4);
    assert_true(r.plan.peak <= r.plan.limit);
    tiny_run_close(&r);
}

static void the_plan_is_a_function_of_model_and_options(void **state)
{
    tiny_run a, b;
    tiny_sparse(dir, "m.safetensors", matrices, COUNT(matrices));
    tiny_run_open(&a, tiny_path(dir, "m.safetensors"), TINY_PLENTY, 1);
    tiny_ok(tiny_run_plan(&a), &a.err);
    static const struct {
        lort_mode mode;
        unsigned threads;
    } others[] = {{LORT_MODE_AUTO, 1}, {LORT_MODE_STREAM, 3}, {LORT_MODE_FULL, 8}};
    for (size_t i = 0; i < COUNT(others); i++) {
        tiny_run_open(&b, tiny_path(dir, "m.safetensors"), TINY_PLENTY / (i + 1),
                      others[i].threads);
        b.options.mode = others[i].mode;
        tiny_ok(tiny_run_plan(&b), &b.err);
        assert_same_steps(&a.plan, &b.plan);
        assert_int_equal(b.plan.threads, others[i].threads);
        tiny_run_close(&b);
    }
    tiny_run_close(&a);
}

/* Peak and need of a plan with plenty of memory, less the memory that the process had before. */
static void costs(const char *path, lort_mode mode, unsigned threads, int64_t rank, uint64_t *peak,
                  uint64_t *need)
{
    tiny_run run;
    tiny_run_open(&run, path, TINY_PLENTY, threads);
    run.session.base_anon = 0;
    run.options.mode = mode;
    run.options.goal = LORT_GOAL_RANK;
    run.options.rank = rank;
    tiny_ok(tiny_run_plan(&run), &run.err);
    *peak = run.plan.peak;
    *need = run.plan.need;
    assert_true(*peak <= run.plan.limit);
    assert_int_equal(run.plan.window, 2 * threads);
    tiny_run_close(&run);
}

static void more_work_never_needs_less_memory(void **state)
{
    static const tiny_tensor larger[] = {TINY("a", "F32", 1200, 800)};
    const char *path = tiny_path(dir, "m.safetensors");
    tiny_sparse(dir, "m.safetensors", matrices, 1);
    tiny_sparse(dir, "larger.safetensors", larger, 1);
    for (int mode = LORT_MODE_FULL; mode <= LORT_MODE_STREAM; mode++) {
        uint64_t peak, need, more_peak, more_need;
        costs(path, (lort_mode)mode, 1, 8, &peak, &need);
        for (unsigned threads = 2; threads <= 8; threads++, peak = more_peak, need = more_need) {
            costs(path, (lort_mode)mode, threads, 8, &more_peak, &more_need);
            assert_true(more_peak > peak && more_need > need);
        }
        costs(path, (lort_mode)mode, 2, 8, &peak, &need);
        for (int64_t rank = 16; rank <= 256; rank *= 2, peak = more_peak, need = more_need) {
            costs(path, (lort_mode)mode, 2, rank, &more_peak, &more_need);
            assert_true(more_peak >= peak && more_need >= need);
        }
        costs(path, (lort_mode)mode, 2, 8, &peak, &need);
        costs(tiny_path(dir, "larger.safetensors"), (lort_mode)mode, 2, 8, &more_peak, &more_need);
        assert_true(more_peak > peak && more_need > need);
    }
}

/* 240 MiB of side files that take no room on the disk: full mode must load them. */
static void write_heavy_model(void)
{
    static const char *const names[] = {"1.bin", "2.bin", "3.bin", "4.bin"};
    tiny_sparse(dir, "model.safetensors", matrices, COUNT(matrices));
    for (size_t i = 0; i < COUNT(names); i++) {
        tiny_text(dir, names[i], "");
        assert_int_equal(truncate(tiny_path(dir, names[i]), 60 * MIB), 0);
    }
}

static lort_code plan_with(tiny_run *run, lort_mode mode, uint64_t memory)
{
    tiny_run_open(run, dir, memory, 2);
    run->options.mode = mode;
    return tiny_run_plan(run);
}

/* The plan counts room for held blocks only if the blocks of a slice fit. */
static void what_cannot_be_held_is_not_planned_for(void **state)
{
    static const tiny_tensor wide = {"w", "BF16", 2, {40960, 2048}, NULL};
    const uint64_t weights = 40960 * 2048;
    uint64_t without = 300 * MIB; /* the plan's memory without that room */
    tiny_run run;
    tiny_sparse(dir, "model.safetensors", &wide, 1);
    for (unsigned i = 0; i < 4; i++) {
        const uint64_t memory = without + weights * i * 2 / 3;
        tiny_run_open(&run, dir, memory, 2);
        run.options.residual = LORT_RESIDUAL_INT;
        run.options.mode = LORT_MODE_STREAM;
        tiny_ok(tiny_run_plan(&run), &run.err);
        without = run.plan.peak - run.plan.spare;
        assert_int_equal(run.plan.spare > 0, memory - without >= weights);
        assert_true(i == 0 || (i == 1) == (run.plan.spare == 0));
        assert_true(run.plan.peak <= memory);
        tiny_run_close(&run);
    }
}

static void the_mode_follows_from_need_and_memory(void **state)
{
    tiny_run run;
    write_heavy_model();
    tiny_ok(plan_with(&run, LORT_MODE_AUTO, TINY_PLENTY), &run.err);
    uint64_t need = run.plan.need;
    assert_true(need > 240 * MIB);
    tiny_run_close(&run);
    static const struct {
        lort_mode asked, mode;
        double memory; /* in units of `need` */
        const char *name, *reason, *sign;
    } cases[] = {
        {LORT_MODE_AUTO, LORT_MODE_FULL, 1.4, "full", "need ", " <= 80 % of"},
        /* This one fits, but not with room to spare. */
        {LORT_MODE_AUTO, LORT_MODE_STREAM, 1.1, "stream", "need ", " > 80 % of"},
        {LORT_MODE_FULL, LORT_MODE_FULL, 1.1, "full", "asked for; need ", " > 80 % of"},
        {LORT_MODE_STREAM, LORT_MODE_STREAM, 1.4, "stream", "asked for; need ", " <= 80 % of"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        tiny_ok(plan_with(&run, cases[i].asked, (uint64_t)(cases[i].memory * (double)need)),
                &run.err);
        assert_int_equal(run.plan.mode, cases[i].mode);
        assert_string_equal(lort_mode_text(run.report.mode), cases[i].name);
        assert_ptr_equal(strstr(run.report.mode_reason, cases[i].reason), run.report.mode_reason);
        tiny_says(run.report.mode_reason, cases[i].sign);
        tiny_says(run.report.mode_reason, "available (--memory)");
        assert_int_equal(run.plan.limit, (uint64_t)(cases[i].memory * (double)need));
        assert_int_equal(run.report.need_bytes, run.plan.need);
        assert_int_equal(run.report.planned_peak_bytes, run.plan.peak);
        assert_int_equal(run.report.budget_bytes, run.plan.limit);
        assert_true(run.plan.peak <= run.plan.limit);
        tiny_run_close(&run);
    }
    assert_int_equal(plan_with(&run, LORT_MODE_FULL, need - 100 * MIB), LORT_E_MEMORY);
    tiny_says(run.err.message, "--mode stream would fit");
    assert_null(run.plan.tensors);
    tiny_run_close(&run);
}

static uint64_t smallest_said(const char *message)
{
    static const char words[] = "smallest --memory that would do is ";
    const char *at = strstr(message, words);
    assert_non_null(at);
    char *end;
    uint64_t mib = strtoull(at + strlen(words), &end, 10);
    assert_int_equal(*end, 'M');
    return mib * MIB;
}

/* The memory that the refusal names is enough, and half of it is not. (The process itself may have
 * grown a little since.) */
static void a_refusal_names_the_memory_that_would_do(void **state)
{
    static const tiny_tensor huge[] = {TINY("small", "F32", 40, 40),
                                       TINY("huge", "F32", 16384, 40000)};
    tiny_run run;
    tiny_sparse(dir, "model.safetensors", huge, 2);
    assert_int_equal(plan_with(&run, LORT_MODE_AUTO, MIB), LORT_E_MEMORY);
    tiny_says(run.err.message, "huge needs ");
    uint64_t smallest = smallest_said(run.err.message);
    assert_null(run.plan.tensors);
    tiny_run_close(&run);
    tiny_ok(plan_with(&run, LORT_MODE_AUTO, smallest + 8 * MIB), &run.err);
    assert_int_equal(run.plan.mode, LORT_MODE_STREAM);
    assert_int_equal(run.plan.threads, 1); /* too little for the two threads of the options */
    assert_int_equal(run.report.threads, 1);
    tiny_run_close(&run);
    assert_int_equal(plan_with(&run, LORT_MODE_AUTO, smallest / 2), LORT_E_MEMORY);
    tiny_run_close(&run);
}

static void a_plan_without_memory_for_itself_is_refused(void **state)
{
    tiny_run run;
    tiny_failing failing;
    tiny_sparse(dir, "m.safetensors", matrices, COUNT(matrices));
    tiny_run_open(&run, tiny_path(dir, "m.safetensors"), TINY_PLENTY, 1);
    lort_alloc ledger = run.session.alloc;
    tiny_failing_start(&failing, 0);
    run.session.alloc = failing.alloc;
    assert_int_equal(tiny_run_plan(&run), LORT_E_MEMORY);
    assert_null(run.plan.tensors);
    tiny_failing_start(&failing, -1);
    run.session.alloc = failing.alloc;
    tiny_ok(tiny_run_plan(&run), &run.err);
    assert_true(failing.live > 0);
    lort_plan_free(&run.plan, &failing.alloc);
    assert_int_equal(failing.live, 0);
    assert_int_equal(failing.bytes, 0);
    run.session.alloc = ledger;
    tiny_run_close(&run);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_tensor_kept_has_its_reason),
        TEST(shapes_are_seen_as_matrices),
        TEST(slices_below_min_dim_stay_kept),
        TEST(equal_tensors_have_one_origin),
        TEST(what_keeps_one_keeps_the_group),
        TEST(block_types_are_kept),
        TEST(include_overrides_habits_but_no_facts),
        cmocka_unit_test(globs_match_whole_names),
        cmocka_unit_test(targets_follow_the_options),
        cmocka_unit_test(kinds_have_their_places),
        TEST(a_model_with_one_of_both_is_tied),
        cmocka_unit_test(a_tied_embedding_is_placed_by_its_part),
        cmocka_unit_test(names_of_heads_and_of_what_may_be_one),
        cmocka_unit_test(break_even_is_the_last_rank_that_pays),
        cmocka_unit_test(the_options_text_has_what_decides_bytes_and_nothing_else),
        TEST(the_plan_is_a_function_of_model_and_options),
        TEST(workers_help_each_other_where_memory_allows),
        TEST(more_work_never_needs_less_memory),
        TEST(what_cannot_be_held_is_not_planned_for),
        TEST(the_mode_follows_from_need_and_memory),
        TEST(a_refusal_names_the_memory_that_would_do),
        TEST(a_plan_without_memory_for_itself_is_refused),
    };
    return run_chosen(tests, NULL, NULL);
}
