/* space: mode, threads and memory of a quantizer.
 *
 *   common     base + budget used + session of T + headers + open slice + T workers + window
 *   full       common + all files of the model
 *   stream     common
 *
 *   mode       full if full(T) <= 80 % of available, else stream; --mode forces one
 *   threads    T falls, down to 1, until the cost of the mode is within the limit */
#ifndef LORT_COMPRESS_QUANTIZE_SPACE_H
#define LORT_COMPRESS_QUANTIZE_SPACE_H

#include "compress/quantize/quantizer.h"

/* Chooses mode and threads, starts the workers, and takes their buffers. Full mode reads the model.
 * On failure LORT_E_MEMORY names the tensor with the largest pieces and the smallest --memory that
 * would do. */
lort_code lort_space_start(lort_quantizer *q, lort_error *err);
void lort_space_close(lort_quantizer *q);

#endif
