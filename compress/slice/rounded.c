/* rounded: see rounded.h. With W the weights of the file and d = weight - decoded of the
 * difference, a reader gets W - d before it rounds. So the base itself is not needed here. */
#include "compress/slice/rounded.h"

#define RUN 1024

/* Reads n weights of the file from element `at` of the slice on. */
static lort_code read_run(const lort_slice_source *source, unsigned worker, uint64_t at, int64_t n,
                          float *dst, lort_error *err)
{
    const lort_tensor *tensor = source->planned->tensor;
    const uint64_t each = tensor->type->block_bytes;
    const uint8_t *bytes;
    lort_code code = lort_model_view(source->decider->model, tensor->file, source->base + at * each,
                                     (uint64_t)n * each,
                                     source->decider->session->scratch[worker].bytes, &bytes, err);
    if (code == LORT_OK)
        tensor->type->decode(bytes, dst, (uint64_t)n);
    return code;
}

static double unit_of(const uint8_t *codes, int64_t i)
{
    return codes ? (double)lort_scale_of(lort_scale_inverse(codes[i])) : 1;
}

/* Part of a row. */
typedef struct run {
    const lort_slice_source *source;
    int64_t row, col, count; /* in the slice */
    const float *weights, *decoded;
} run;

static void add_run(const run *r, const float *file, lort_weighed *sum)
{
    const lort_slice_source *source = r->source;
    const lort_dtype_info *type = source->planned->tensor->type;
    const double row_unit = unit_of(source->scales.rows, r->row);
    float values[RUN];
    uint8_t bytes[RUN * sizeof(float)];
    for (int64_t i = 0; i < r->count; i++) {
        const double d = (double)r->weights[i] - (r->decoded ? (double)r->decoded[i] : 0);
        values[i] =
            (float)((double)file[i] - d * row_unit * unit_of(source->scales.cols, r->col + i));
    }
    lort_dtype_encoder(type->id)(values, bytes, (uint64_t)r->count);
    type->decode(bytes, values, (uint64_t)r->count);
    for (int64_t i = 0; i < r->count; i++) {
        const double e = (double)file[i] - (double)values[i];
        sum->plain += e * e;
        sum->weighed += e * e * lort_weight(&source->weighting, r->col + i);
    }
}

lort_code lort_slice_errors(const lort_slice_source *source, unsigned worker,
                            const lort_block_place *place, int64_t rows, const float *weights,
                            const float *decoded, lort_weighed *out, lort_error *err)
{
    float file[RUN];
    *out = (lort_weighed){0, 0};
    if (!source->planned->base) {
        *out = lort_weighed_sum(&source->weighting, &source->scales, place, rows, weights, decoded);
        return LORT_OK;
    }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < place->cols; c += RUN) {
            const int64_t n = place->cols - c < RUN ? place->cols - c : RUN,
                          at = r * place->cols + c;
            const run part = {source, place->row + r, place->col + c,
                              n,      weights + at,   decoded ? decoded + at : NULL};
            lort_code code = read_run(source, worker,
                                      (uint64_t)part.row * (uint64_t)source->planned->shape.cols +
                                          (uint64_t)part.col,
                                      n, file, err);
            if (code)
                return code;
            add_run(&part, file, out);
        }
    return LORT_OK;
}

lort_code lort_slice_coded_errors(const lort_slice_source *source, unsigned worker,
                                  const lort_block_place *place, int64_t rows,
                                  const lort_block_space *space, lort_weighed *out, lort_error *err)
{
    const lort_feedback *feedback = lort_slice_feedback(source, place);
    lort_code code =
        lort_slice_errors(source, worker, place, rows, space->weights, space->decoded, out, err);
    if (code || !feedback)
        return code;
    /* The loss is that of the damped H. */
    out->weighed = space->loss - feedback->damping * out->plain;
    out->weighed = out->weighed > 0 ? out->weighed : 0;
    return LORT_OK;
}
