/* part: see part.h. */
#include "compress/write/part.h"
#include <math.h>

/* The row of the table of ranks for a pair of storage types. */
static uint32_t *factor_ranks(lort_part_draft *part, lort_dtype left, lort_dtype right)
{
    unsigned i = 0;
    while (i < part->pairs && (part->pair[i][0] != left || part->pair[i][1] != right))
        i++;
    if (i == part->pairs) {
        part->pair[i][0] = left;
        part->pair[i][1] = right;
        part->pairs++;
    }
    return part->ranks + (uint64_t)(i + 3) * part->slices;
}

void lort_part_draft_factors(lort_part_draft *part, uint32_t slice, const lort_outcome *outcome)
{
    factor_ranks(part, outcome->left, outcome->right)[slice] = (uint32_t)outcome->product.rank;
    part->exponents[slice] = outcome->product.exponent;
    part->top_rank =
        outcome->product.rank > part->top_rank ? outcome->product.rank : part->top_rank;
}

void lort_part_draft_base(lort_part_draft *part, uint32_t slice)
{
    if (!part->planned->base)
        return;
    part->any_base = true;
    part->ranks[(LORT_DRAFT_TERMS - 1) * (uint64_t)part->slices + slice] = 1;
}

static lort_term outliers_term(const lort_part_draft *part)
{
    const lort_dtype_info *values = lort_dtype_get(LORT_F32), *places = lort_dtype_get(LORT_U64);
    return (lort_term){.kind = LORT_TERM_OUTLIERS,
                       .left = values->id,
                       .right = places->id,
                       .left_width = (uint16_t)values->plane_width,
                       .right_width = (uint16_t)places->plane_width,
                       .left_rotate = values->rotate,
                       .right_rotate = places->rotate,
                       .rank = part->ranks + 2 * (uint64_t)part->slices};
}

void lort_part_draft_terms(lort_part_draft *part, lort_term *terms, uint32_t *count)
{
    const lort_dtype_info *type = part->type;
    *count = 0;
    if (part->planned->same)
        return;
    for (unsigned i = 0; i < part->pairs; i++) {
        const lort_dtype_info *left = lort_dtype_get(part->pair[i][0]),
                              *right = lort_dtype_get(part->pair[i][1]);
        terms[(*count)++] = (lort_term){.kind = LORT_TERM_FACTORS,
                                        .left = left->id,
                                        .right = right->id,
                                        .left_width = (uint16_t)left->plane_width,
                                        .right_width = (uint16_t)right->plane_width,
                                        .left_rotate = left->rotate,
                                        .right_rotate = right->rotate,
                                        .rank = part->ranks + (uint64_t)(i + 3) * part->slices,
                                        .exponent = part->exponents};
    }
    if (part->any_blocks && part->ternary) {
        const lort_dtype_info *scale = lort_dtype_get(LORT_BF16);
        terms[(*count)++] = (lort_term){.kind = LORT_TERM_TERNARY,
                                        .left = scale->id,
                                        .right = LORT_U8,
                                        .left_width = (uint16_t)scale->plane_width,
                                        .right_width = 1,
                                        .left_rotate = scale->rotate,
                                        .rank = part->ranks + part->slices};
    } else if (part->any_blocks)
        terms[(*count)++] = (lort_term){.kind = LORT_TERM_INTEGERS,
                                        .left = LORT_U8,
                                        .right = LORT_U8,
                                        .left_width = 1,
                                        .right_width = 1,
                                        .rank = part->ranks + part->slices,
                                        .step = part->steps,
                                        .scaled = part->planned->scaled};
    if (part->outliers)
        terms[(*count)++] = outliers_term(part);
    if (part->any_base)
        terms[(*count)++] =
            (lort_term){.kind = LORT_TERM_BASE,
                        .left = type->id,
                        .right = type->id,
                        .left_width = 1,
                        .right_width = 1,
                        .rank = part->ranks + (LORT_DRAFT_TERMS - 1) * (uint64_t)part->slices,
                        .base = part->base};
    if (part->any_raw)
        terms[(*count)++] = (lort_term){.kind = LORT_TERM_RAW,
                                        .left = type->id,
                                        .right = type->id,
                                        .left_width = (uint16_t)type->plane_width,
                                        .right_width = (uint16_t)type->plane_width,
                                        .left_rotate = type->rotate,
                                        .right_rotate = type->rotate,
                                        .rank = part->ranks};
}

double lort_part_draft_error(const lort_part_draft *part)
{
    if (part->pairs == 0 && !part->any_blocks)
        return 0.0;
    const double norm2 = part->any_base ? part->source2 : part->norm2;
    return part->undefined || !(norm2 > 0) || !isfinite(norm2) ? NAN : sqrt(part->error2 / norm2);
}

double lort_part_draft_error_update(const lort_part_draft *part)
{
    if (!part->any_base || part->undefined || !(part->norm2 > 0) || !isfinite(part->norm2))
        return NAN;
    return part->pairs || part->any_blocks ? sqrt(part->error2 / part->norm2) : 0;
}

double lort_part_draft_error_rest(const lort_part_draft *part)
{
    const double rest2 = part->norm2 - part->outlier_energy;
    return part->outliers && !part->undefined && rest2 > 0 ? sqrt(part->error2 / rest2) : NAN;
}

double lort_part_draft_weighed_error(const lort_part_draft *part)
{
    const double plain = lort_part_draft_error(part);
    const bool weighed = lort_tensor_plan_weighed(part->planned);
    if (!weighed || isnan(plain) || (part->pairs == 0 && !part->any_blocks))
        return weighed ? plain : NAN;
    return part->norm.weighed > 0 ? sqrt(part->error.weighed / part->norm.weighed) : NAN;
}
