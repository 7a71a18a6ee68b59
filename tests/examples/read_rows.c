/* read_rows PATH TENSOR ROWS: prints the first values of the first ROWS rows of a tensor, as f32.
 *
 * PATH is a model or a container. Both give rows in the same way, and a tensor may be larger than
 * memory: the library calls print_piece with one piece after the other. The exit code is LoRT's
 * code. */
#include "lort.h"

#include <stdio.h>
#include <stdlib.h>

#define SHOWN 4 /* values of each row */

/* A piece is whole rows, or a part of one long row. first is the number of its first value in the
 * tensor. */
static lort_code print_piece(void *ctx, uint64_t first, const float *values, uint64_t count)
{
    const uint64_t cols = *(const uint64_t *)ctx;
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t row = (first + i) / cols, col = (first + i) % cols;
        if (col == 0)
            printf("row %llu:", (unsigned long long)row);
        if (col < SHOWN)
            printf(" %9.6f", (double)values[i]);
        if (col + 1 == cols)
            printf("\n");
    }
    return LORT_OK; /* any other code ends the stream */
}

static lort_code print_rows(lort_weights *weights, const char *name, int64_t rows,
                            lort_error *error)
{
    static float buffer[64 * 1024]; /* yours, of any size from 1024 bytes */
    uint64_t number;
    lort_tensor_info info;
    lort_code code = lort_weights_find(weights, name, &number, error);
    if (code == LORT_OK)
        code = lort_weights_info(weights, number, &info, error);
    if (code != LORT_OK)
        return code;
    printf("%s of %lld x %lld\n", info.dtype, (long long)info.rows, (long long)info.cols);
    uint64_t cols = (uint64_t)info.cols;
    return lort_weights_rows(weights, number, 0, rows, buffer, sizeof buffer, print_piece, &cols,
                             error);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: read_rows PATH TENSOR ROWS\n");
        return LORT_E_USAGE;
    }
    lort_weights *weights = NULL;
    lort_error error = {0};
    /* NULL: as much memory as is sensible now */
    lort_code code = lort_weights_open(argv[1], NULL, &weights, &error);
    if (code == LORT_OK)
        code = print_rows(weights, argv[2], strtoll(argv[3], NULL, 10), &error);
    if (code != LORT_OK)
        fprintf(stderr, "read_rows: %s\n", error.message);
    lort_weights_close(weights); /* accepts NULL */
    return (int)code;
}
