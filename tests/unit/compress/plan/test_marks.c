/* Tests of marks: modules that are quantised already, routers, masks, tables of positions, and the
 * configurations that tell of them. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/plan/facts.h"
#include "compress/plan/plan.h"
#include "tests/unit/main.h"
#include "tests/unit/tiny_run.h"

#define COUNT(list) (sizeof(list) / sizeof *(list))

static char dir[32];

static int set_up(void **state)
{
    (void)state;
    tiny_dir(dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tiny_remove(dir);
    return 0;
}

typedef struct wanted {
    tiny_tensor tensor;
    lort_mark mark;
} wanted;

#define PACKED LORT_MARK_PACKED
#define COMPANION LORT_MARK_COMPANION
#define ROUTER LORT_MARK_ROUTER
#define NONE LORT_MARK_NONE

/* Plans a model of these tensors, beside a config.json if there is one, and checks every mark. */
static void check_marks(const wanted *list, size_t count, const char *config)
{
    tiny_tensor *tensors = calloc(count, sizeof *tensors);
    tiny_run run;
    uint64_t quantised = 0;
    assert_non_null(tensors);
    for (size_t i = 0; i < count; i++) {
        tensors[i] = list[i].tensor;
        quantised += list[i].mark == PACKED || list[i].mark == COMPANION;
    }
    tiny_safetensors(dir, "model.safetensors", tensors, count);
    if (config)
        tiny_text(dir, "config.json", config);
    tiny_run_open(&run, config ? dir : tiny_path(dir, "model.safetensors"), TINY_PLENTY, 1);
    tiny_ok(tiny_run_plan(&run), &run.err);
    for (size_t i = 0; i < count; i++) {
        const lort_tensor_plan *planned = tiny_run_planned(&run, list[i].tensor.name);
        if (planned->mark != list[i].mark)
            fail_msg("%s: mark %d, wanted %d", list[i].tensor.name, planned->mark, list[i].mark);
        if (planned->mark != NONE)
            assert_false(planned->candidate);
        assert_int_equal(lort_tensor_plan_counts(planned),
                         planned->mark == NONE || planned->mark == ROUTER);
    }
    assert_int_equal(run.plan.quantised, quantised);
    tiny_run_close(&run);
    free(tensors);
}

/* ---- modules that are quantised already ---- */

static void layouts_are_told_by_structure(void **state)
{
    static const wanted list[] = {
        {TINY("mlx.weight", "U32", 64, 32), PACKED},
        {TINY("mlx.scales", "BF16", 64, 4), COMPANION},
        {TINY("mlx.biases", "BF16", 64, 4), COMPANION},
        {TINY("gptq.qweight", "I32", 32, 64), PACKED},
        {TINY("gptq.qzeros", "I32", 4, 8), PACKED},
        {TINY("gptq.scales", "F16", 4, 64), COMPANION},
        {TINY("gptq.g_idx", "I32", 256), COMPANION},
        {TINY("gptq.bias", "F16", 64), COMPANION},
        {TINY("ct.weight_packed", "I32", 64, 32), PACKED},
        {TINY("ct.weight_scale", "BF16", 64, 8), COMPANION},
        {TINY("ct.weight_shape", "I64", 2), COMPANION},
        {TINY("nv.weight", "U8", 64, 64), PACKED},
        {TINY("nv.weight_scale", "F8_E4M3", 64, 8), PACKED},
        {TINY("nv.weight_scale_2", "F32", 1), COMPANION},
        {TINY("f8.weight", "F8_E4M3", 64, 64), PACKED},
        {TINY("f8.weight_scale", "F32", 64, 1), COMPANION},
        {TINY("v4.weight", "I8", 64, 64), PACKED},
        {TINY("v4.scale", "F8_E8M0", 64, 2), COMPANION},
        {TINY("comfy.weight", "F8_E4M3", 64, 64), PACKED},
        {TINY("comfy.scale_weight", "F32", 1), COMPANION},
        {TINY("bnb.weight", "U8", 2048, 1), PACKED},
        {TINY("bnb.weight.absmax", "U8", 64), COMPANION},
        {TINY("bnb.weight.quant_map", "F32", 16), COMPANION},
        {TINY("bnb.weight.quant_state.bitsandbytes__nf4", "U8", 50), COMPANION},
        {TINY("eight.weight", "I8", 64, 64), PACKED},
        {TINY("eight.SCB", "F32", 64), COMPANION},
        {TINY("experts.up_blocks", "U8", 4, 64, 2, 16), PACKED},
        {TINY("experts.up_scales", "U8", 4, 64, 2), PACKED},
        {TINY("experts.up_bias", "BF16", 4, 64), COMPANION},
        {TINY("novel.codes", "I16", 64, 64), PACKED},
        {TINY("novel.basis", "F16", 40, 64), COMPANION},
        {TINY("row.weight_scales", "F32", 64, 1), COMPANION},
        {TINY("row.weight", "I8", 64, 64), PACKED},
        {TINY("plain.weight", "BF16", 64, 64), NONE},
        {TINY("lm_head.weight", "BF16", 64, 64), NONE},
    };
    (void)state;
    check_marks(list, COUNT(list), NULL);
    check_marks(list, COUNT(list), "{\"quantization_config\": {\"quant_method\": \"mixed\"}}");
}

static void plain_integers_are_no_packed_weights(void **state)
{
    static const wanted list[] = {
        {TINY("a.weight", "F8_E4M3", 64, 64), NONE}, /* a cast, without scales */
        {TINY("a.bias", "BF16", 64), NONE},
        {TINY("emb.position_ids", "I64", 1, 77), NONE},
        {TINY("emb.ids", "I32", 1, 512), NONE},
        {TINY("emb.flags", "BOOL", 64, 64), NONE},
        {TINY("emb.weight", "BF16", 64, 64), NONE},
        {TINY("bn.num_batches", "I64", 1), NONE},
        {TINY("lone.table", "U8", 64, 64), NONE},
        {TINY("dotless", "I32", 64, 64), NONE}, /* a name without a dot has no module */
        {TINY("neighbour", "F16", 64, 64), NONE},
        {TINY("large.index", "U8", 8, 8), NONE}, /* 64 bytes scale no 64 x 64 elements */
        {TINY("large.weight", "BF16", 64, 64), NONE},
        {TINY("e8.weight", "F8_E8M0", 64, 64), NONE},
    };
    (void)state;
    check_marks(list, COUNT(list), NULL);
}

static void a_companion_has_at_most_eight_elements_a_byte(void **state)
{
    static const wanted list[] = {
        {TINY("even.packed", "U8", 8, 64), PACKED},
        {TINY("even.float", "BF16", 64, 64), COMPANION},
        {TINY("over.packed", "U8", 8, 64), NONE},
        {TINY("over.float", "BF16", 64, 65), NONE},
    };
    (void)state;
    check_marks(list, COUNT(list), NULL);
}

static void a_configuration_widens_its_modules(void **state)
{
    static const char config[] =
        "{\"model_type\": \"x\", \"quantization_config\": {\"quant_method\": \"vptq\","
        " \"modules_to_not_convert\": [\"spared\", \"re:.*[\"], \"n\": {\"deep\": [1, {}]}}}";
    static const wanted list[] = {
        {TINY("m.a.packed", "U8", 8, 8), PACKED},
        {TINY("m.a.float", "BF16", 64, 64), COMPANION},
        {TINY("m.a.centroids.weight", "F16", 8, 8), COMPANION},
        {TINY("m.b.weight", "F8_E4M3", 64, 64), PACKED},
        {TINY("m.spared.weight", "F8_E4M3", 64, 64), NONE},
        {TINY("m.spared.below.weight", "F8_E4M3", 64, 64), NONE},
        {TINY("m.c.weight", "BF16", 64, 64), NONE},
    };
    (void)state;
    check_marks(list, COUNT(list), config);
}

/* ---- routers ---- */

static void routers_are_told_by_name(void **state)
{
    static const wanted list[] = {
        {TINY("model.layers.0.mlp.gate.weight", "BF16", 64, 512), ROUTER},
        {TINY("model.layers.0.block_sparse_moe.gate.weight", "BF16", 64, 512), ROUTER},
        {TINY("layers.0.ffn.gate.weight", "BF16", 64, 512), ROUTER},
        {TINY("model.layers.0.mixer.gate.weight", "BF16", 64, 512), ROUTER},
        {TINY("model.layers.0.mlp.router.weight", "BF16", 64, 512), ROUTER},
        {TINY("model.layers.1.mlp.router", "BF16", 64, 512), ROUTER},
        {TINY("model.layers.0.moe.gate.wg.weight", "BF16", 64, 512), ROUTER},
        {TINY("model.layers.0.router.proj.weight", "BF16", 64, 512), ROUTER},
        {TINY("blocks.0.ffn.router.layer.weight", "BF16", 64, 512), ROUTER},
        {TINY("encoder.block.1.mlp.router.classifier.weight", "F32", 64, 512), ROUTER},
        {TINY("model.layers.0.mlp.shared_expert_gate.weight", "BF16", 1, 512), ROUTER},
        {TINY("model.layers.0.mlp.gate.e_score_correction_bias", "F32", 64), ROUTER},
        {TINY("model.layers.0.mlp.router.bias", "BF16", 64), ROUTER},
        {TINY("blk.0.ffn_gate_inp.weight", "F32", 64, 512), ROUTER},
        {TINY("blk.0.ffn_gate_inp_shexp.weight", "F32", 512), ROUTER},
        {TINY("blk.0.exp_probs_b.bias", "F32", 64), ROUTER},
        {TINY("model.layers.0.self_attn.indexer.weights_proj.weight", "BF16", 64, 512), ROUTER},
        {TINY("model.layers.0.self_attn.indexer.wk.weight", "BF16", 128, 512), ROUTER},
        {TINY("model.layers.0.mlp.gate_proj.weight", "BF16", 64, 512), NONE},
        {TINY("model.layers.0.mlp.gate_up_proj.weight", "BF16", 64, 512), NONE},
        {TINY("blk.0.ffn_gate.weight", "F16", 64, 512), NONE},
        {TINY("model.layers.0.attn.big.gate.weight", "BF16", 1025, 1040), NONE},
        {TINY("model.layers.0.attn.gate", "F32", 1), NONE},
        {TINY("model.layers.0.self_attn.wk.weight", "BF16", 128, 512), NONE},
    };
    (void)state;
    check_marks(list, COUNT(list), NULL);
}

/* The router's name says nothing. E comes from stacked experts, from numbers, or from the
 * configuration. */
static void routers_are_told_by_structure(void **state)
{
    static const wanted list[] = {
        {TINY("layers.0.moe.input_linear.weight", "BF16", 48, 96, 64), NONE},
        {TINY("layers.0.moe.choice.weight", "BF16", 48, 64), ROUTER},
        {TINY("layers.0.moe.turned.weight", "BF16", 64, 48), ROUTER},
        {TINY("layers.0.attn.q_proj.weight", "BF16", 48, 64), NONE},
        {TINY("layers.0.moe.other.weight", "BF16", 48, 80), NONE},
        {TINY("layers.1.moe.choice.weight", "BF16", 48, 64), NONE}, /* no experts there */
        {TINY("layers.2.mlp.experts.0.up.weight", "BF16", 96, 64), NONE},
        {TINY("layers.2.mlp.experts.35.up.weight", "BF16", 96, 64), NONE},
        {TINY("layers.2.mlp.choice.weight", "BF16", 36, 64), ROUTER},
        {TINY("layers.2.mlp.fifty.weight", "BF16", 50, 64), NONE},
        {TINY("layers.3.mlp.expert_39.up.weight", "BF16", 40, 64), NONE},
        {TINY("layers.3.mlp.choice.weight", "BF16", 40, 64), ROUTER},
        {TINY("layers.3.conv.weight", "BF16", 50, 64, 4), NONE}, /* a kernel, no experts */
        {TINY("layers.3.mlp.kernel.weight", "BF16", 50, 64), NONE},
        {TINY("blk.5.ffn_up.0.weight", "BF16", 96, 64), NONE}, /* as old GGUF has them */
        {TINY("blk.5.ffn_up.33.weight", "BF16", 96, 64), NONE},
        {TINY("blk.5.choice.weight", "BF16", 34, 64), ROUTER},
        {TINY("layers.4.mlp.experts.up_blocks", "U8", 44, 64, 2, 16), NONE},
        {TINY("layers.4.mlp.choice.weight", "BF16", 44, 90), ROUTER}, /* packed: any other side */
    };
    (void)state;
    check_marks(list, COUNT(list), NULL);
    wanted again[COUNT(list)];
    memcpy(again, list, sizeof list);
    again[9].mark = ROUTER;
    again[13].mark = ROUTER;
    again[17].mark = PACKED;
    check_marks(again, COUNT(again),
                "{\"text_config\": {\"num_experts\": 50,"
                " \"num_experts_per_tok\": 48},"
                " \"quantization_config\": {}}");
}

static void stacked_experts_of_gguf_have_routers(void **state)
{
    static const tiny_tensor tensors[] = {
        TINY("blk.0.ffn_down_exps.weight", "F16", 40, 64, 96),
        TINY("blk.0.choice.weight", "F16", 40, 64),
        TINY("blk.0.attn_k.weight", "F16", 40, 64),
    };
    tiny_run run;
    (void)state;
    tiny_gguf(dir, "m.gguf", tensors, COUNT(tensors), NULL);
    tiny_run_open(&run, tiny_path(dir, "m.gguf"), TINY_PLENTY, 1);
    tiny_ok(tiny_run_plan(&run), &run.err);
    assert_int_equal(tiny_run_planned(&run, "blk.0.choice.weight")->mark, ROUTER);
    assert_int_equal(tiny_run_planned(&run, "blk.0.attn_k.weight")->mark, NONE);
    tiny_run_close(&run);
}

/* ---- masks and tables ---- */

static void masks_and_tables_are_kept(void **state)
{
    static float noise[64 * 64], lower[64 * 64];
    for (int i = 0; i < 64 * 64; i++) {
        noise[i] = (float)(i * 7919 % 4096 - 2048);
        lower[i] = i % 64 <= i / 64;
    }
    static const wanted list[] = {
        {{"h.0.attn.bias", "F32", 4, {1, 1, 64, 64}, lower}, LORT_MARK_MASK},
        {{"h.0.attn.rel", "F32", 4, {1, 1, 64, 64}, noise}, NONE},
        {TINY("h.1.attn.mask", "U8", 1, 1, 64, 64), LORT_MARK_MASK},
        {TINY("h.1.attn.masked_bias", "F32", 1), NONE},
        {TINY("h.2.attn.causal_mask", "F32", 64, 64), LORT_MARK_MASK},
        {TINY("h.2.attn.tril", "F32", 64, 64), LORT_MARK_MASK},
        {TINY("h.3.attn.bias", "F32", 1, 1, 64, 80), NONE},
        {TINY("h.3.attn.rel", "F32", 1, 8, 64, 64), NONE},
        {TINY("h.3.weight", "F32", 64, 64), NONE},
        {TINY("h.3.rotary_emb.cos_cached", "F32", 1, 1, 256, 64), LORT_MARK_TABLE},
        {TINY("h.3.rotary_emb.inv_freq", "F32", 32), LORT_MARK_TABLE},
        {TINY("freqs_cis", "F32", 256, 64), LORT_MARK_TABLE},
    };
    (void)state;
    check_marks(list, COUNT(list), NULL);
}

/* ---- overrides and targets ---- */

static void only_a_whole_name_overrides(void **state)
{
    static const tiny_tensor tensors[] = {
        TINY("a.weight", "F8_E4M3", 64, 64),      TINY("a.weight_scale", "F32", 64, 64),
        TINY("l.mlp.gate.weight", "F32", 64, 64), TINY("b.weight", "I8", 64, 64),
        TINY("b.scale", "F32", 64, 64),
    };
    const char *wild[] = {"*"}, *names[] = {"a.weight", "b.scale", "b.weight", "l.mlp.gate.weight"};
    tiny_run run;
    (void)state;
    tiny_safetensors(dir, "m.safetensors", tensors, COUNT(tensors));
    tiny_run_open(&run, tiny_path(dir, "m.safetensors"), TINY_PLENTY, 1);
    run.options.include = wild;
    run.options.include_count = 1;
    tiny_ok(tiny_run_plan(&run), &run.err);
    assert_int_equal(run.plan.candidates, 0);
    assert_int_equal(run.report.warning_count, 1);
    tiny_says(run.report.warnings[0], "already quantised (fp8): 4 packed tensors and companions "
                                      "kept as they are");
    lort_plan_free(&run.plan, &run.session.alloc);
    run.options.include = names;
    run.options.include_count = COUNT(names);
    tiny_ok(tiny_run_plan(&run), &run.err);
    assert_int_equal(run.plan.candidates, 3);
    assert_true(tiny_run_planned(&run, "a.weight")->candidate);
    assert_true(tiny_run_planned(&run, "b.scale")->candidate);
    assert_false(tiny_run_planned(&run, "b.weight")->candidate); /* no decoder */
    assert_int_equal(run.report.warning_count, 3);
    tiny_says(run.report.warnings[1], "2 packed tensors and companions");
    tiny_says(run.report.warnings[2], "--include names 2 of the tensors");
    tiny_run_close(&run);
}

static void a_size_with_nothing_to_code_is_refused(void **state)
{
    static const tiny_tensor packed[] = {TINY("a.weight", "U8", 64, 64),
                                         TINY("a.scale", "F32", 64, 4), TINY("n", "F32", 64)},
                             blocks[] = {TINY("blk.0.a", "Q8_0", 64, 64), TINY("n", "F32", 64)},
                             plain[] = {TINY("n", "F32", 64)};
    static const struct {
        const tiny_tensor *tensors;
        size_t count;
        bool refused;
    } cases[] = {{packed, COUNT(packed), true}, {blocks, COUNT(blocks), true}, {plain, 1, false}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        tiny_run run;
        tiny_gguf(dir, "m.gguf", blocks, COUNT(blocks), NULL);
        if (cases[i].tensors == blocks)
            tiny_run_open(&run, tiny_path(dir, "m.gguf"), TINY_PLENTY, 1);
        else
            tiny_safetensors(dir, "m.safetensors", cases[i].tensors, cases[i].count),
                tiny_run_open(&run, tiny_path(dir, "m.safetensors"), TINY_PLENTY, 1);
        run.options.residual = LORT_RESIDUAL_AUTO;
        run.options.goal = LORT_GOAL_BPW;
        run.options.value = 4;
        assert_int_equal(tiny_run_plan(&run), cases[i].refused ? LORT_E_NUMERIC : LORT_OK);
        if (cases[i].refused)
            assert_string_equal(run.err.message, "already quantised: nothing to code; start from "
                                                 "the F16 original, or --include NAME");
        tiny_run_close(&run);
    }
}

/* ---- configurations ---- */

static lort_facts facts_of(const char *name, const char *text, lort_code code)
{
    lort_facts facts = {.spared = {.alloc = &lort_alloc_heap}};
    lort_error err = {0};
    assert_int_equal(lort_facts_parse(name, text, strlen(text), &facts, &err), code);
    return facts;
}

static void the_method_is_found(void **state)
{
    static const struct {
        const char *file, *text, *method;
        bool quantised;
    } cases[] = {
        {"config.json", "{\"quantization_config\": {\"quant_method\": \"gptq\"}}", "gptq", true},
        {"config.json",
         "{\"a\": {\"quantization_config\": {\"x\": [{}, 2], \"quant_method\": "
         "\"awq\"}}}",
         "awq", true},
        {"config.json", "{\"quantization\": {\"bits\": 4}}", "mlx", true},
        {"config.json", "{\"quantization_config\": {\"load_in_4bit\": true}}", "bitsandbytes",
         true},
        {"config.json", "{\"quantization_config\": {\"load_in_4bit\": false}}", "", true},
        {"config.json", "{\"compression_config\": {}}", "", true},
        {"config.json", "{\"quantization_config\": null}", "", false},
        {"config.json", "{\"quant_method\": \"gptq\"}", "", false},
        {"config.json", "{\"quantization_config\": {\"quant_method\": \"\\u001b[2J\"}}", "", true},
        {"config.json", "{\"quantization_config\": {\"quant_method\": \"a b\"}}", "", true},
        {"hf_quant_config.json", "{\"quantization\": {\"quant_algo\": \"NVFP4\"}}", "modelopt",
         true},
        {"quantize_config.json", "{\"bits\": 4}", "gptq", true},
        {"quant_config.json", "{\"w_bit\": 4}", "awq", true},
        {"other.json", "{\"quantization\": {}}", "", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        lort_facts facts = facts_of(cases[i].file, cases[i].text, LORT_OK);
        if (strcmp(facts.method, cases[i].method) != 0 || facts.quantised != cases[i].quantised)
            fail_msg("%s: '%s', %d", cases[i].text, facts.method, facts.quantised);
        lort_facts_free(&facts);
    }
}

static void numbers_of_experts_are_bounded(void **state)
{
    (void)state;
    lort_facts facts = facts_of("config.json",
                                "{\"num_experts\": 64, \"n_routed_experts\": 64, \"n_experts\": "
                                "[1, -2, 3.5, 99999999, 7], \"num_local_experts\": \"8\"}",
                                LORT_OK);
    assert_int_equal(facts.expert_count, 2);
    assert_int_equal(facts.experts[0], 64);
    assert_int_equal(facts.experts[1], 7);
    lort_facts_free(&facts);
    facts = facts_of("config.json", "{\"num_experts\": [2,3,4,5,6,7,8,9,10,11,12]}", LORT_OK);
    assert_int_equal(facts.expert_count, LORT_FACTS_EXPERTS);
    lort_facts_free(&facts);
    facts = facts_of("config.json", "{\"num_experts\": 5, ", LORT_E_INPUT);
    assert_int_equal(facts.experts[0], 5);
    lort_facts_free(&facts);
}

static void a_config_that_is_no_json_is_a_warning(void **state)
{
    static const tiny_tensor tensors[] = {TINY("a.weight", "F32", 64, 64)};
    tiny_run run;
    (void)state;
    tiny_safetensors(dir, "model.safetensors", tensors, 1);
    tiny_text(dir, "config.json", "{\"a\": ");
    tiny_run_open(&run, dir, TINY_PLENTY, 1);
    tiny_ok(tiny_run_plan(&run), &run.err);
    assert_int_equal(run.report.warning_count, 1);
    tiny_says(run.report.warnings[0], "config.json: not read as a configuration: invalid JSON");
    tiny_run_close(&run);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(layouts_are_told_by_structure),
        TEST(plain_integers_are_no_packed_weights),
        TEST(a_companion_has_at_most_eight_elements_a_byte),
        TEST(a_configuration_widens_its_modules),
        TEST(routers_are_told_by_name),
        TEST(routers_are_told_by_structure),
        TEST(stacked_experts_of_gguf_have_routers),
        TEST(masks_and_tables_are_kept),
        TEST(only_a_whole_name_overrides),
        TEST(a_size_with_nothing_to_code_is_refused),
        cmocka_unit_test(the_method_is_found),
        cmocka_unit_test(numbers_of_experts_are_bounded),
        TEST(a_config_that_is_no_json_is_a_warning),
    };
    return run_chosen(tests, NULL, NULL);
}
