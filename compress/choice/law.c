/* law: see law.h. */
#include "compress/choice/law.h"

/* The weights of matrices, and of heads and embeddings for each layer of the model. */
static const struct {
    double each, per_layer;
} weights[LORT_USES] = {
    [LORT_USE_KEPT] = {1, 0},          [LORT_USE_TOKEN_EMBD] = {0, 1},
    [LORT_USE_OUTPUT] = {0, 3},        [LORT_USE_ATTN_Q] = {0.6, 0},
    [LORT_USE_ATTN_K] = {0.6, 0},      [LORT_USE_ATTN_V] = {1, 0},
    [LORT_USE_ATTN_QKV] = {1, 0},      [LORT_USE_ATTN_OUTPUT] = {0.75, 0},
    [LORT_USE_ATTN_Q_A] = {0.6, 0},    [LORT_USE_ATTN_Q_B] = {0.6, 0},
    [LORT_USE_ATTN_KV_A_MQA] = {1, 0}, [LORT_USE_ATTN_KV_B] = {1, 0},
    [LORT_USE_ATTN_K_B] = {0.6, 0},    [LORT_USE_ATTN_V_B] = {1, 0},
    [LORT_USE_FFN_GATE] = {1, 0},      [LORT_USE_FFN_UP] = {0.6, 0},
    [LORT_USE_FFN_DOWN] = {1.4, 0},
};
#define TIED_PER_LAYER 4 /* of an embedding that is the head, too */

double lort_law_cost(lort_use use, bool tied, int64_t layers, double error2)
{
    const double each = weights[use].each, heads = use == LORT_USE_TOKEN_EMBD && tied
                                                       ? TIED_PER_LAYER
                                                       : weights[use].per_layer;
    return (each + heads * (double)layers) * error2;
}
