/* kinds: see kinds.h. lort_kind_of_report tells the kind of a tensor. */
#include "compress/cli/ui/kinds.h"
#include "compress/cli/ui/print.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define LABEL "  %-10s"

enum { MOST_KINDS = 32 };

typedef struct tally {
    uint64_t tensors, lossy, bytes;
    double elements, errors;
} tally;

static void count_tensor(tally *all, const lort_tensor_report *tensor)
{
    tally *t = &all[lort_kind_of_report(tensor)];
    double elements = 1;
    for (uint32_t i = 0; i < tensor->n_dims; i++)
        elements *= (double)tensor->shape[i];
    t->tensors++;
    t->bytes += tensor->bytes_out;
    t->elements += *tensor->same_as ? 0 : elements; /* stored once, with the other */
    if (tensor->action != LORT_ACTION_KEPT && !isnan(tensor->rel_error)) {
        t->lossy++;
        t->errors += tensor->rel_error;
    }
}

static void print_kind(FILE *out, const char *label, const char *name, const tally *t,
                       uint64_t whole)
{
    lort_cli_print(out, LABEL "%-16s %4" PRIu64 "  %6.2f bits  ", label, name, t->tensors,
                   t->elements > 0 ? 8 * (double)t->bytes / t->elements : 0);
    if (t->lossy)
        lort_cli_print(out, "error %.4f", t->errors / (double)t->lossy);
    else
        lort_cli_print(out, "lossless    ");
    lort_cli_print(out, "  %5.1f %% of the output\n", 100 * (double)t->bytes / (double)whole);
}

void lort_cli_print_kinds(FILE *out, const lort_report *report)
{
    tally all[MOST_KINDS] = {0};
    const char *label = "by kind";
    uint64_t lossy = 0;
    for (uint64_t i = 0; i < report->tensor_count; i++)
        count_tensor(all, &report->tensors[i]);
    for (unsigned i = 0; i < MOST_KINDS; i++)
        lossy += all[i].lossy;
    for (unsigned i = 0; i < MOST_KINDS && lossy && report->output_bytes; i++) {
        if (all[i].tensors == 0)
            continue;
        print_kind(out, label, lort_kind_name(i), &all[i], report->output_bytes);
        label = "";
    }
}
