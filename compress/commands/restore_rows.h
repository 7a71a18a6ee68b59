/* restore_rows: writes the rows of one slice that is not kept, in the type that restore gives it.
 */
#ifndef LORT_COMPRESS_COMMANDS_RESTORE_ROWS_H
#define LORT_COMPRESS_COMMANDS_RESTORE_ROWS_H

#include "compress/read/reading.h"
#include "loader/store/publish.h"

/* Bytes that lort_restore_rows takes at most for a slice of this shape, with `threads` workers. */
uint64_t lort_restore_rows_bytes(lort_matrices shape, const lort_dtype_info *type,
                                 unsigned threads);
/* Decodes all rows of an open slice and appends them to the output as `type` (F32, F16 or BF16).
 * LORT_E_NUMERIC names a value that does not fit the type. */
lort_code lort_restore_rows(lort_reading *reading, lort_publish *publish, const lort_slice *slice,
                            const lort_dtype_info *type, lort_error *err);

#endif
