/* ranks: arithmetic of ranks that tests look at. lort_ranks_choose is in adapter.h. */
#ifndef LORT_COMPRESS_ADAPTER_RANKS_H
#define LORT_COMPRESS_ADAPTER_RANKS_H

#include "compress/adapter/adapter.h"

/* The smallest rank whose squared singular values reach `energy`; count + 1 if all do not. */
int64_t lort_rank_of_energy(const double *values, int64_t count, double energy);

#endif
