/* restore_rows: decodes the rows of one slice that is not kept, and writes them as the output type.
 */
#ifndef LORT_COMPRESS_COMMANDS_RESTORE_ROWS_H
#define LORT_COMPRESS_COMMANDS_RESTORE_ROWS_H

#include "compress/read/reading.h"
#include "loader/store/publish.h"

/* The most bytes that lort_restore_rows takes for a slice of this shape, with `threads` workers. */
uint64_t lort_restore_rows_bytes(lort_matrices shape, const lort_dtype_info *type,
                                 unsigned threads);
/* Decodes all rows of an open slice and appends them to the output as `type` (F32, F16 or BF16).
 * On failure: LORT_E_NUMERIC with a value that does not fit the type, or another code. */
lort_code lort_restore_rows(lort_reading *reading, lort_publish *publish, const lort_slice *slice,
                            const lort_dtype_info *type, lort_error *err);

#endif
