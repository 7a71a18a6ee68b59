/* wishes: see wishes.h. */
#include "compress/quantize/wishes.h"
#include "loader/os/os.h"
#include <stdio.h>
#include <string.h>

static lort_code check_sized(const lort_quantize_options *o, lort_error *err)
{
    const bool bytes = o->goal == LORT_GOAL_SIZE && o->size_bytes;
    if (!bytes && !(o->value > 0 && o->value <= 100))
        return lort_fail(err, LORT_E_USAGE,
                         "size or bits per weight %g: must be above 0 and at most 100", o->value);
    if (o->pure)
        return lort_fail(err, LORT_E_USAGE,
                         "--pure goes with --type: a size is met by a choice of "
                         "types");
    return LORT_OK;
}

lort_code lort_wishes_check(const lort_quantize_options *o, const char *output, lort_error *err)
{
    const bool sized = o->goal == LORT_GOAL_SIZE || o->goal == LORT_GOAL_BPW;
    if (!sized && o->goal != LORT_GOAL_TYPE)
        return lort_fail(err, LORT_E_USAGE, "wants a target: --type NAME, --size BYTES or --bpw B");
    if (!output && !o->dry_run)
        return lort_fail(err, LORT_E_USAGE, "wants an output: -o PATH");
    if (o->types && !sized)
        return lort_fail(err, LORT_E_USAGE,
                         "--types goes with --size and --bpw: it lists the "
                         "types to choose from");
    if (o->keep_split && o->resume)
        return lort_fail(err, LORT_E_USAGE,
                         "--resume does not go with --keep-split: a directory is begun anew");
    return sized ? check_sized(o, err) : LORT_OK;
}

static void put_hash(lort_buffer *out, const lort_hash128 *hash)
{
    for (unsigned i = 0; i < sizeof hash->bytes; i++)
        lort_put_text(out, "%02x", hash->bytes[i]);
}

static lort_code put_imatrix(lort_quantizer *q, lort_buffer *out, lort_error *err)
{
    lort_hasher *hasher;
    lort_code code = lort_hasher_open(&lort_session_of(q)->alloc, &hasher, err);
    if (code)
        return code;
    for (uint64_t i = 0; i < q->imatrix.count; i++) {
        const lort_importance *entry = &q->imatrix.entries[i];
        lort_hasher_add(hasher, entry->name, entry->name_bytes + 1u);
        lort_hasher_add(hasher, entry->mean_square,
                        (uint64_t)entry->n_mat * (uint64_t)entry->n_in * sizeof(float));
    }
    if (q->imatrix.dataset)
        lort_hasher_add(hasher, q->imatrix.dataset, strlen(q->imatrix.dataset));
    lort_hasher_add(hasher, &q->imatrix.chunks, sizeof q->imatrix.chunks);
    const lort_hash128 hash = lort_hasher_value(hasher);
    lort_put_text(out, " imatrix=%s:", lort_os_base_name(q->options->imatrix));
    put_hash(out, &hash);
    lort_hasher_close(hasher);
    return LORT_OK;
}

lort_code lort_wishes_put(lort_quantizer *q, const lort_wishes *wishes, lort_buffer *out,
                          lort_error *err)
{
    const lort_quantize_options *o = q->options;
    lort_put_text(out, " quantize");
    if (wishes->mix)
        lort_put_text(out, " type=%s%s", lort_mix_name(wishes->mix), o->pure ? " pure" : "");
    else if (o->goal == LORT_GOAL_SIZE && o->size_bytes)
        lort_put_text(out, " size=%llu", (unsigned long long)o->size_bytes);
    else
        lort_put_text(out, " %s=%.17g", o->goal == LORT_GOAL_BPW ? "bpw" : "size%", o->value);
    for (uint32_t i = 0; i < wishes->types.count && !wishes->mix; i++)
        lort_put_text(out, "%s%s", i ? "," : " types=", wishes->types.types[i]->name);
    for (uint64_t i = 0; i < wishes->count; i++)
        lort_put_text(out, " tensor-type=%s=%s", wishes->overrides[i].pattern,
                      wishes->overrides[i].type->name);
    lort_code code = q->imatrix.count ? put_imatrix(q, out, err) : LORT_OK;
    return code ? code : lort_buffer_check(out, err);
}

/* ---- parsing ---- */

/* For rows of whole blocks of 256; lort_fit_type gives those of other rows, and these add what it
 * does not give. */
static const lort_dtype usual_types[] = {LORT_Q2_K, LORT_Q3_K, LORT_IQ4_XS, LORT_Q4_K,
                                         LORT_Q5_K, LORT_Q6_K, LORT_Q8_0,   LORT_F16};

static lort_code parse_types(lort_quantizer *q, lort_wishes *out, lort_error *err)
{
    if (q->options->types)
        return lort_type_list_parse(q->options->types, &out->types, err);
    for (unsigned i = 0; i < sizeof usual_types / sizeof *usual_types; i++)
        out->types.types[out->types.count++] = lort_dtype_get(usual_types[i]);
    return LORT_OK;
}

static lort_code parse_mix(lort_quantizer *q, lort_wishes *out, lort_error *err)
{
    char names[400];
    size_t at = 0;
    if (q->options->goal != LORT_GOAL_TYPE)
        return LORT_OK;
    out->mix = q->options->type ? lort_mix_by_name(q->options->type) : NULL;
    if (out->mix)
        return LORT_OK;
    *names = '\0';
    for (uint32_t i = 0; lort_mix_at(i) && at < sizeof names; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i ? ", " : "",
                               lort_mix_name(lort_mix_at(i)));
    return lort_fail(err, LORT_E_USAGE, "--type %.40s: allowed are %s",
                     q->options->type ? q->options->type : "(none)", names);
}

lort_code lort_wishes_parse(lort_quantizer *q, lort_wishes *out, lort_error *err)
{
    void *memory;
    *out = (lort_wishes){.count = q->options->tensor_type_count};
    lort_code code = parse_mix(q, out, err);
    if (code == LORT_OK)
        code = parse_types(q, out, err);
    if (code == LORT_OK)
        code = lort_arena_take(&q->arena, (out->count + 1) * sizeof *out->overrides, &memory, err);
    if (code)
        return code;
    out->overrides = memory;
    for (uint64_t i = 0; i < out->count && code == LORT_OK; i++)
        code = lort_override_parse(q->options->tensor_types[i], &q->arena, &out->overrides[i], err);
    return code;
}
