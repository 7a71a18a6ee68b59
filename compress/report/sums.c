/* sums: see sums.h. */
#include "compress/report/sums.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LAYER_DIGITS 9 /* more digits are no number of a layer */

int64_t lort_layer_of(const char *name)
{
    while (*name) {
        const size_t part = strcspn(name, "./"), digits = strspn(name, "0123456789");
        if (digits > 0 && digits == part && digits <= LAYER_DIGITS)
            return strtoll(name, NULL, 10);
        name += part;
        name += *name != '\0';
    }
    return -1;
}

uint64_t lort_report_own_elements(const lort_tensor_report *tensor)
{
    uint64_t elements = 1;
    if (tensor->same_as && *tensor->same_as)
        return 0;
    for (uint32_t i = 0; i < tensor->n_dims; i++) {
        const uint64_t side = tensor->shape[i] > 0 ? (uint64_t)tensor->shape[i] : 0;
        if (side && elements > UINT64_MAX / side)
            return 0; /* no file holds so many */
        elements *= side;
    }
    return elements;
}

double lort_report_bits(const lort_tensor_report *tensor)
{
    const uint64_t elements = lort_report_own_elements(tensor);
    return elements && tensor->bytes_out ? 8 * (double)tensor->bytes_out / (double)elements : NAN;
}

static void add_tensor(lort_kind_sums *sums, const lort_tensor_report *tensor, uint64_t *errors)
{
    sums->tensors++;
    sums->elements += lort_report_own_elements(tensor);
    sums->bytes_in += tensor->bytes_in;
    sums->bytes_out += tensor->bytes_out;
    if (isnan(tensor->rel_error) || tensor->action == LORT_ACTION_KEPT)
        return;
    ++*errors;
    sums->mean_error += tensor->rel_error; /* a sum until all are added */
    sums->worst_error = fmax(sums->worst_error, tensor->rel_error);
}

unsigned lort_sum_kinds(const lort_report *report, lort_kind_sums *sums)
{
    uint64_t errors[LORT_KINDS_MOST] = {0};
    unsigned count = 0;
    memset(sums, 0, LORT_KINDS_MOST * sizeof *sums);
    for (uint64_t i = 0; i < report->tensor_count; i++) {
        const unsigned kind = lort_kind_of_report(&report->tensors[i]);
        if (kind < LORT_KINDS_MOST)
            add_tensor(&sums[kind], &report->tensors[i], &errors[kind]);
    }
    for (unsigned kind = 0; kind < LORT_KINDS_MOST; kind++) {
        lort_kind_sums row = sums[kind];
        if (row.tensors == 0)
            continue;
        row.kind = lort_kind_name(kind);
        row.bits =
            row.elements && row.bytes_out ? 8 * (double)row.bytes_out / (double)row.elements : NAN;
        row.mean_error = errors[kind] ? row.mean_error / (double)errors[kind] : NAN;
        row.worst_error = errors[kind] ? row.worst_error : NAN;
        sums[count++] = row;
    }
    return count;
}
