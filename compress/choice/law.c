/* law: see law.h. */
#include "compress/choice/law.h"

/* each: the weight. per_layer: what a layer of the model adds to it. The weights of the attention
 * of DeepSeek (q_a to v_b) and of fused attention are guesses by likeness. */
static const struct {
    double each, per_layer;
} weights[LORT_USES] = {
    [LORT_USE_KEPT] = {1, 0},        [LORT_USE_TOKEN_EMBD] = {3, 0},
    [LORT_USE_OUTPUT] = {0, 2.5},    [LORT_USE_ATTN_Q] = {0.5, 0},
    [LORT_USE_ATTN_K] = {0.65, 0},   [LORT_USE_ATTN_V] = {0.9, 0},
    [LORT_USE_ATTN_QKV] = {0.7, 0},  [LORT_USE_ATTN_OUTPUT] = {0.6, 0},
    [LORT_USE_ATTN_Q_A] = {0.6, 0},  [LORT_USE_ATTN_Q_B] = {0.6, 0},
    [LORT_USE_ATTN_K_B] = {0.6, 0},  [LORT_USE_ATTN_KV_A_MQA] = {0.9, 0},
    [LORT_USE_ATTN_KV_B] = {0.9, 0}, [LORT_USE_ATTN_V_B] = {0.9, 0},
    [LORT_USE_FFN_GATE] = {1, 0},    [LORT_USE_FFN_UP] = {0.75, 0},
    [LORT_USE_FFN_DOWN] = {1.4, 0},
};
#define TIED_PER_LAYER 4 /* of an embedding that is the head, too */
/* The first layer has this weight, and the last one DEPTH_GAIN more. */
#define DEPTH_FIRST 0.8
#define DEPTH_GAIN 0.4

static double depth_of(const lort_law_model *model, int64_t layer)
{
    if (layer < 0 || layer >= model->layers)
        return 1;
    return DEPTH_FIRST + DEPTH_GAIN * ((double)layer + 0.5) / (double)model->layers;
}

double lort_law_cost(const lort_law_model *model, lort_use use, int64_t layer, double error2)
{
    const double layers = (double)model->layers,
                 weight = use == LORT_USE_TOKEN_EMBD && model->tied
                              ? TIED_PER_LAYER * layers
                              : weights[use].each + weights[use].per_layer * layers;
    return weight * depth_of(model, layer) * error2;
}
