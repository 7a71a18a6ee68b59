/* finite: checks that the sum of a slice's terms has numbers that F32 can hold. */
#ifndef LORT_COMPRESS_READ_FINITE_H
#define LORT_COMPRESS_READ_FINITE_H

#include "compress/read/encoding.h"

/* Bytes that lort_slice_check_finite may take for a slice of the part. */
uint64_t lort_finite_bytes(const lort_part *part);
/* Checks an open slice with factors; others pass. Factors whose largest numbers cannot overflow
 * pass without a decoded cell.
 * scratch: as for lort_slice_cells. alloc: for one cell.
 * On failure: LORT_E_DAMAGED if a value is NaN or Inf in F32; others as lort_slice_cells. */
lort_code lort_slice_check_finite(const lort_slice *slice, lort_scratch *scratch,
                                  const lort_alloc *alloc, lort_error *err);

#endif
