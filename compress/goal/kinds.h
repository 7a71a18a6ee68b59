/* kinds: the kind of a tensor, found by its name, and how much the errors of this kind cost the
 * model. */
#ifndef LORT_COMPRESS_GOAL_KINDS_H
#define LORT_COMPRESS_GOAL_KINDS_H

#include "compress/lort.h"

#define LORT_KIND_FINE 8 /* parts of an octave: the unit of weights */

typedef struct lort_kind_info {
    const char *name;
    /* By how many eighths of an octave the error is below that of other tensors (8 = half the
     * error). `size`: under a target size. `error`: below a target error, so never negative. */
    int size, error;
    bool by_row; /* readers use single rows, which low rank alone would ruin */
} lort_kind_info;

bool lort_kind_is_router(unsigned kind);
const lort_kind_info *lort_kind_get(const char *name); /* by the tensor's name */
/* True if the tensor is an output head. */
bool lort_kind_is_head(const char *name);
/* True for an embedding of tokens, which is the output head of a model that has none. */
bool lort_kind_may_be_head(const char *name);
/* The kind of such an embedding, in a model that has so many weights beside it. */
lort_kind_info lort_kind_of_tied(uint64_t own, uint64_t others);
double lort_kind_scale(int eighths); /* 2^(-eighths / 8) */

#endif
