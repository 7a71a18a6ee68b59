/* marks: see marks.h. */
#include "compress/plan/marks.h"
#include "compress/plan/quantised.h"
#include "compress/plan/routers.h"
#include "formats/base/glob.h"
#include "formats/base/text.h"
#include <stdio.h>
#include <string.h>

#define MASK_SAMPLE 4096 /* bytes of a mask that are looked at, twice */

static const char *last_part(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

/* True if the first elements and those in the middle have at most two values, as in masks. */
static bool has_two_values(lort_model *model, const lort_tensor *tensor)
{
    uint8_t scratch[MASK_SAMPLE];
    const uint64_t each = tensor->type->block_bytes,
                   n = (tensor->bytes < sizeof scratch ? tensor->bytes : sizeof scratch) / each,
                   starts[] = {0, tensor->bytes / 2 / each * each};
    uint64_t seen[2], count = 0;
    for (unsigned s = 0; s < 2; s++) {
        const uint8_t *view;
        const uint64_t left = (tensor->bytes - starts[s]) / each, some = n < left ? n : left;
        if (lort_model_view(model, tensor->file, tensor->offset + starts[s], some * each, scratch,
                            &view, NULL))
            return false;
        for (uint64_t i = 0; i < some; i++) {
            uint64_t value = 0;
            memcpy(&value, view + i * each, (size_t)each);
            if ((count > 0 && value == seen[0]) || (count > 1 && value == seen[1]))
                continue;
            if (count == 2)
                return false;
            seen[count++] = value;
        }
    }
    return true;
}

/* [1, 1, n, n] with two values is no weight of any layer. A square whose name says so is a mask
 * too. */
static bool is_mask(lort_model *model, const lort_tensor *tensor)
{
    const char *last = last_part(tensor->name);
    const uint32_t n = tensor->n_dims;
    if (n < 2 || tensor->elements < 4 || tensor->dims[n - 1] != tensor->dims[n - 2] ||
        lort_tensor_matrices(tensor).slices != 1)
        return false;
    if (strstr(last, "mask") || strcmp(last, "tril") == 0)
        return true;
    return n >= 4 && tensor->type->block_elements == 1 && has_two_values(model, tensor);
}

/* Cosines, sines and frequencies of positions. */
static bool is_table(const lort_tensor *tensor)
{
    static const char *const names[] = {"cos_cached", "sin_cached", "cos_cache", "sin_cache",
                                        "inv_freq",   "freqs_cis",  "freqs_cos", "freqs_sin"};
    const char *last = last_part(tensor->name);
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (strstr(last, names[i]))
            return true;
    return strstr(tensor->name, "rotary_emb.") != NULL;
}

static void mark_constants(lort_model *model, uint8_t *marks)
{
    const lort_index *index = lort_model_index(model);
    for (uint64_t i = 0; i < index->count; i++)
        marks[i] = is_mask(model, &index->tensors[i]) ? LORT_MARK_MASK
                   : is_table(&index->tensors[i])     ? LORT_MARK_TABLE
                                                      : LORT_MARK_NONE;
}

static lort_code mark_all(lort_model *model, const lort_facts *facts, const lort_alloc *alloc,
                          lort_marks *marks, lort_error *err)
{
    const lort_index *index = lort_model_index(model);
    const char *method = "";
    mark_constants(model, marks->of);
    lort_code code = lort_quantised_mark(index, facts, alloc, marks->of, &method, err);
    if (code == LORT_OK)
        code = lort_routers_mark(index, facts, alloc, marks->of, err);
    for (uint64_t i = 0; i < index->count; i++)
        marks->quantised += marks->of[i] == LORT_MARK_PACKED || marks->of[i] == LORT_MARK_COMPANION;
    snprintf(marks->method, sizeof marks->method, "%s", *facts->method ? facts->method : method);
    return code;
}

lort_code lort_marks_make(lort_session *session, lort_model *model, lort_marks *marks,
                          lort_error *err)
{
    const lort_index *index = lort_model_index(model);
    lort_facts facts;
    void *memory;
    *marks = (lort_marks){0};
    lort_code code = lort_facts_read(session, model, &facts, err);
    if (code)
        return code;
    code = lort_take_zero(&session->alloc, index->count, "the marks of tensors", &memory, err);
    if (code == LORT_OK) {
        marks->of = memory;
        marks->count = index->count;
        code = mark_all(model, &facts, &session->alloc, marks, err);
    }
    lort_facts_free(&facts);
    if (code)
        lort_marks_free(marks, &session->alloc);
    return code;
}

void lort_marks_free(lort_marks *marks, const lort_alloc *alloc)
{
    lort_give(alloc, marks->of, marks->count);
    *marks = (lort_marks){0};
}

void lort_marks_warn(lort_session *session, const lort_model *model, const lort_options *options,
                     const lort_marks *marks)
{
    const lort_index *index = lort_model_index(model);
    const lort_tensor *first = NULL;
    unsigned long long named = 0;
    char shown[200];
    if (options->goal == LORT_GOAL_LOSSLESS || marks->quantised == 0)
        return;
    for (uint64_t i = 0; i < index->count; i++) {
        const lort_tensor *tensor = &index->tensors[i];
        if ((marks->of[i] != LORT_MARK_PACKED && marks->of[i] != LORT_MARK_COMPANION) ||
            tensor->type->kind == LORT_KIND_OTHER ||
            !lort_glob_names(options->include, options->include_count, tensor->name))
            continue;
        first = named++ ? first : tensor;
    }
    if (marks->quantised > named)
        lort_session_warn(session,
                          "already quantised%s%s%s: %llu packed tensors and companions kept as "
                          "they are; for a smaller file start from the F16 or BF16 original",
                          *marks->method ? " (" : "", marks->method, *marks->method ? ")" : "",
                          (unsigned long long)marks->quantised - named);
    if (first)
        lort_session_warn(session,
                          "--include names %llu of the tensors of quantised modules (the first: "
                          "%s): an error in a scale is an error in every weight that it scales",
                          named, lort_escape(shown, sizeof shown, first->name, first->name_bytes));
}
