/* work: how much work it is to decode a part, against the bytes that are stored. A few bytes can
 * stand for any number of elements: factors of rank 1, or blocks of one integer. So readers that
 * make no output of that size ask first (docs/FORMAT.md, section 12). */
#ifndef LORT_COMPRESS_READ_WORK_H
#define LORT_COMPRESS_READ_WORK_H

#include "formats/container/container.h"

/* Units of work to decode the cells of a part once. A unit is about the time of one element of a
 * kept tensor. Slices without chunks cost nothing. Goes with the chunks of the part. */
double lort_part_work(const lort_part *part);
/* Units that files of so many stored bytes may ask for. */
double lort_work_allowed(double stored_bytes);

#endif
