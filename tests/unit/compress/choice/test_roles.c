/* roles: names on the list, names that look like them, and rows that are not whole blocks. */
#include "compress/choice/roles.h"
#include "tests/unit/main.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static const struct {
    const char *name;
    lort_use use;
    int64_t layer;
    lort_keep keep;
} known[] = {
    {"token_embd.weight", LORT_USE_TOKEN_EMBD, -1, LORT_KEEP_NOT},
    {"output.weight", LORT_USE_OUTPUT, -1, LORT_KEEP_NOT},
    {"blk.0.attn_q.weight", LORT_USE_ATTN_Q, 0, LORT_KEEP_NOT},
    {"blk.7.attn_k.weight", LORT_USE_ATTN_K, 7, LORT_KEEP_NOT},
    {"blk.10.attn_v.weight", LORT_USE_ATTN_V, 10, LORT_KEEP_NOT},
    {"blk.999999999.attn_v.weight", LORT_USE_ATTN_V, 999999999, LORT_KEEP_NOT},
    {"blk.1.attn_qkv.weight", LORT_USE_ATTN_QKV, 1, LORT_KEEP_NOT},
    {"blk.1.attn_output.weight", LORT_USE_ATTN_OUTPUT, 1, LORT_KEEP_NOT},
    {"blk.1.attn_q_a.weight", LORT_USE_ATTN_Q_A, 1, LORT_KEEP_NOT},
    {"blk.1.attn_q_b.weight", LORT_USE_ATTN_Q_B, 1, LORT_KEEP_NOT},
    {"blk.1.attn_kv_a_mqa.weight", LORT_USE_ATTN_KV_A_MQA, 1, LORT_KEEP_NOT},
    {"blk.1.attn_kv_b.weight", LORT_USE_ATTN_KV_B, 1, LORT_KEEP_NOT},
    {"blk.1.attn_k_b.weight", LORT_USE_ATTN_K_B, 1, LORT_KEEP_NOT},
    {"blk.1.attn_v_b.weight", LORT_USE_ATTN_V_B, 1, LORT_KEEP_NOT},
    {"blk.1.ffn_gate.weight", LORT_USE_FFN_GATE, 1, LORT_KEEP_NOT},
    {"blk.1.ffn_up.weight", LORT_USE_FFN_UP, 1, LORT_KEEP_NOT},
    {"blk.1.ffn_down.weight", LORT_USE_FFN_DOWN, 1, LORT_KEEP_NOT},
    {"blk.1.ffn_gate_exps.weight", LORT_USE_FFN_GATE, 1, LORT_KEEP_NOT},
    {"blk.1.ffn_up_shexp.weight", LORT_USE_FFN_UP, 1, LORT_KEEP_NOT},
    {"blk.1.ffn_down_exps.weight", LORT_USE_FFN_DOWN, 1, LORT_KEEP_NOT},
    {"enc.blk.0.attn_q.weight", LORT_USE_ATTN_Q, 0, LORT_KEEP_NOT},
    {"dec.blk.23.ffn_down.weight", LORT_USE_FFN_DOWN, 23, LORT_KEEP_NOT},
    /* not on the list */
    {"", LORT_USE_KEPT, -1, LORT_KEEP_NOT_WEIGHT},
    {".weight", LORT_USE_KEPT, -1, LORT_KEEP_NAME},
    {"output", LORT_USE_KEPT, -1, LORT_KEEP_NOT_WEIGHT},
    {"output.bias", LORT_USE_KEPT, -1, LORT_KEEP_NOT_WEIGHT},
    {"output_norm.weight", LORT_USE_KEPT, -1, LORT_KEEP_NORM},
    {"token_embd_norm.weight", LORT_USE_KEPT, -1, LORT_KEEP_NORM},
    {"per_layer_token_embd.weight", LORT_USE_KEPT, -1, LORT_KEEP_NAME},
    {"my_output.weight", LORT_USE_KEPT, -1, LORT_KEEP_NAME},
    {"Output.weight", LORT_USE_KEPT, -1, LORT_KEEP_NAME},
    {"output.weight.weight", LORT_USE_KEPT, -1, LORT_KEEP_NAME},
    {"position_embd.weight", LORT_USE_KEPT, -1, LORT_KEEP_POSITION},
    {"token_types.weight", LORT_USE_KEPT, -1, LORT_KEEP_POSITION},
    {"blk.1.attn_norm.weight", LORT_USE_KEPT, -1, LORT_KEEP_NORM},
    {"blk.1.attn_q_norm.weight", LORT_USE_KEPT, -1, LORT_KEEP_NORM},
    {"blk.1.attn_q.bias", LORT_USE_KEPT, -1, LORT_KEEP_NOT_WEIGHT},
    {"blk.1.attn_q.weights", LORT_USE_KEPT, -1, LORT_KEEP_NOT_WEIGHT},
    {"blk.1.attn_qq.weight", LORT_USE_KEPT, -1, LORT_KEEP_NAME},
    {"blk.1.cross_attn_q.weight", LORT_USE_KEPT, -1, LORT_KEEP_NAME},
    {"blk.1.ffn_gate_inp.weight", LORT_USE_KEPT, -1, LORT_KEEP_ROUTER},
    {"blk.1.ffn_gate_inp_shexp.weight", LORT_USE_KEPT, -1, LORT_KEEP_ROUTER},
    {"blk.1.ffn_gate_tid2eid.weight", LORT_USE_KEPT, -1, LORT_KEEP_ROUTER},
    {"blk.1.indexer.attn_q_b.weight", LORT_USE_KEPT, -1, LORT_KEEP_ROUTER},
    {"blk.1.ssm_conv1d.weight", LORT_USE_KEPT, -1, LORT_KEEP_CONVOLUTION},
    {"blk.1.time_mix_w1.weight", LORT_USE_KEPT, -1, LORT_KEEP_SMALL},
    {"blk.1.time_mix_key.weight", LORT_USE_KEPT, -1, LORT_KEEP_NAME},
    {"blk.1.attn_rel_b.weight", LORT_USE_KEPT, -1, LORT_KEEP_POSITION},
    {"blk.1.altup_proj.weight", LORT_USE_KEPT, -1, LORT_KEEP_SMALL},
    {"blk.-1.attn_q.weight", LORT_USE_KEPT, -1, LORT_KEEP_NAME},
    {"blk.+1.attn_q.weight", LORT_USE_KEPT, -1, LORT_KEEP_NAME},
    {"blk. 1.attn_q.weight", LORT_USE_KEPT, -1, LORT_KEEP_NAME},
    {"blk..attn_q.weight", LORT_USE_KEPT, -1, LORT_KEEP_NAME},
    {"blk.attn_q.weight", LORT_USE_KEPT, -1, LORT_KEEP_NAME},
    {"blk.01.attn_q.weight", LORT_USE_KEPT, -1, LORT_KEEP_NAME},
    {"blk.1.weight", LORT_USE_KEPT, -1, LORT_KEEP_NAME},
    {"blk.1", LORT_USE_KEPT, -1, LORT_KEEP_NOT_WEIGHT},
    {"blk.1000000000.attn_q.weight", LORT_USE_KEPT, -1, LORT_KEEP_NAME},
    {"blk.99999999999999999999999.attn_q.weight", LORT_USE_KEPT, -1, LORT_KEEP_NAME},
    {"v.blk.0.attn_q.weight", LORT_USE_KEPT, -1, LORT_KEEP_TOWER},
    {"a.blk.0.ffn_up.weight", LORT_USE_KEPT, -1, LORT_KEEP_TOWER},
    {"mm.0.weight", LORT_USE_KEPT, -1, LORT_KEEP_TOWER},
    {"v.patch_embd.weight", LORT_USE_KEPT, -1, LORT_KEEP_CONVOLUTION},
    {"xenc.blk.0.attn_q.weight", LORT_USE_KEPT, -1, LORT_KEEP_NAME},
};

static void names_tell_what_a_tensor_is_for(void **state)
{
    const int64_t dims[] = {3, 256};
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++) {
        const char *name = known[i].name;
        int64_t layer = -7;
        if (lort_use_of(name, strlen(name), &layer) != known[i].use || layer != known[i].layer)
            fail_msg("%s: use %d, layer %d", name, lort_use_of(name, strlen(name), NULL),
                     (int)layer);
        if (lort_keep_why(name, strlen(name), dims, 2) != known[i].keep)
            fail_msg("%s: %s", name, lort_keep_text(lort_keep_why(name, strlen(name), dims, 2)));
    }
}

/* A name is bytes and a length: what stands behind it does not count, and a NUL is a byte. */
static void names_need_no_end(void **state)
{
    assert_int_equal(lort_use_of("output.weight.bias", 13, NULL), LORT_USE_OUTPUT);
    assert_int_equal(lort_use_of("output.weight", 12, NULL), LORT_USE_KEPT);
    assert_int_equal(lort_use_of("output\0weight", 13, NULL), LORT_USE_KEPT);
    assert_int_equal(lort_use_of("blk.1", 5, NULL), LORT_USE_KEPT);
    assert_int_equal(lort_use_of(NULL, 0, NULL), LORT_USE_KEPT);
}

static void shapes_keep_tensors(void **state)
{
    static const struct {
        int64_t dims[5];
        uint32_t n_dims;
        lort_keep keep;
    } shapes[] = {
        {{0}, 0, LORT_KEEP_VECTOR},           {{256}, 1, LORT_KEEP_VECTOR},
        {{1, 256}, 2, LORT_KEEP_VECTOR},      {{1, 1, 256}, 3, LORT_KEEP_VECTOR},
        {{2, 256}, 2, LORT_KEEP_NOT},         {{2, 1}, 2, LORT_KEEP_NOT},
        {{8, 2, 256}, 3, LORT_KEEP_NOT},      {{1, 8, 2, 256}, 4, LORT_KEEP_NOT},
        {{2, 8, 2, 256}, 4, LORT_KEEP_STACK}, {{2, 0}, 2, LORT_KEEP_EMPTY},
        {{0, 256}, 2, LORT_KEEP_EMPTY},
    };
    for (unsigned i = 0; i < sizeof shapes / sizeof *shapes; i++)
        assert_int_equal(lort_keep_why("blk.0.attn_q.weight", 19, shapes[i].dims, shapes[i].n_dims),
                         shapes[i].keep);
}

static void every_reason_has_a_text(void **state)
{
    assert_string_equal(lort_keep_text(LORT_KEEP_NOT), "");
    for (int i = 1; i < LORT_KEEPS; i++)
        assert_true(strlen(lort_keep_text((lort_keep)i)) > 3);
    assert_string_equal(lort_keep_text(LORT_KEEPS), "");
}

static void rows_decide_the_type(void **state)
{
    static const struct {
        lort_dtype wished;
        uint64_t row;
        lort_dtype written;
    } rows[] = {
        {LORT_Q2_K, 512, LORT_Q2_K},    {LORT_Q2_K, 128, LORT_Q4_0},   {LORT_Q3_K, 96, LORT_Q4_0},
        {LORT_Q4_K, 128, LORT_Q5_0},    {LORT_Q5_K, 128, LORT_Q5_1},   {LORT_Q6_K, 128, LORT_Q8_0},
        {LORT_IQ4_XS, 32, LORT_IQ4_NL}, {LORT_IQ3_S, 32, LORT_IQ4_NL}, {LORT_TQ1_0, 32, LORT_Q4_0},
        {LORT_Q4_K, 172, LORT_F16},     {LORT_Q8_0, 172, LORT_F16},    {LORT_Q4_0, 1, LORT_F16},
        {LORT_IQ4_NL, 33, LORT_F16},    {LORT_F16, 7, LORT_F16},       {LORT_BF16, 7, LORT_BF16},
        {LORT_F32, 1, LORT_F32},        {LORT_Q8_0, 288, LORT_Q8_0},   {LORT_Q6_K, 16, LORT_F16},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(lort_fit_type(lort_dtype_get(rows[i].wished), rows[i].row)->id,
                         rows[i].written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_tell_what_a_tensor_is_for),
        cmocka_unit_test(names_need_no_end),
        cmocka_unit_test(shapes_keep_tensors),
        cmocka_unit_test(every_reason_has_a_text),
        cmocka_unit_test(rows_decide_the_type),
    };
    return run_chosen(tests, NULL, NULL);
}
