/* kinds: what tensors are for, by their names, and what their errors cost the model. */
#ifndef LORT_COMPRESS_GOAL_KINDS_H
#define LORT_COMPRESS_GOAL_KINDS_H

#include "compress/lort.h"

#define LORT_KIND_FINE 8 /* parts of an octave that weights are in */

typedef struct lort_kind_info {
    const char *name;
    /* by how many eighths of an octave the error of integers is to be below that of others of the
     * model: under a target for the size; below the target of the error, which none may pass: not
     * negative */
    int size, error;
    bool by_row; /* its rows are used one by one, and low rank alone ruins them */
} lort_kind_info;

const lort_kind_info *lort_kind_get(const char *name); /* of a tensor of this name */
double lort_kind_scale(int eighths);                   /* 2^(-eighths / 8) */

#endif
