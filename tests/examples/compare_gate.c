/* compare_gate A B LIMIT: exit 0 if no tensor of B is further from A than LIMIT, exit 7 if one is.
 *
 * A and B are models or containers. The error of a tensor is ||A - B|| / ||A||. It prints the
 * tensors over the limit, the worst first. Other exit codes are LoRT's codes: 3, for example, if A
 * and B are not the same kind of model. */
#include "lort.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* rel_error is NaN if A is all zero or if one side alone has NaN: a difference then counts as the
 * worst. */
static double badness(const lort_tensor_report *tensor)
{
    if (!isnan(tensor->rel_error))
        return tensor->rel_error;
    return tensor->max_abs == 0 ? 0 : INFINITY;
}

static int worse_first(const void *a, const void *b)
{
    const double x = badness(a), y = badness(b);
    return (x < y) - (x > y);
}

static void print_worst(lort_report *report, double limit)
{
    qsort(report->tensors, report->tensor_count, sizeof *report->tensors, worse_first);
    for (uint64_t i = 0; i < report->tensor_count && badness(&report->tensors[i]) > limit; i++) {
        char shown[600]; /* a name may hold characters that a terminal must not get */
        const char *name = report->tensors[i].name;
        printf("%.4f  %s\n", report->tensors[i].rel_error,
               lort_printable(shown, sizeof shown, name, strlen(name)));
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: compare_gate A B LIMIT\n");
        return LORT_E_USAGE;
    }
    const double limit = strtod(argv[3], NULL);
    lort_report report = {0};
    lort_error error = {0};
    /* NULL: the default options; no observer */
    lort_code code = lort_compare(argv[1], argv[2], limit, NULL, NULL, &report, &error);

    if (code == LORT_OK || code == LORT_E_NUMERIC) { /* the report is complete after both */
        print_worst(&report, limit);
        printf("%llu tensors, worst error %.4f, limit %.4f\n",
               (unsigned long long)report.tensor_count, report.worst_error, limit);
    }
    if (code != LORT_OK)
        fprintf(stderr, "compare_gate: %s\n", error.message);
    lort_report_free(&report);
    return (int)code;
}
