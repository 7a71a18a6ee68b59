/* base: what records say of a base model, part of the gate for hostile bytes (container_get.c,
 * part_get.c). */
#ifndef LORT_FORMATS_CONTAINER_BASE_H
#define LORT_FORMATS_CONTAINER_BASE_H

#include "formats/base/bytes.h"
#include "formats/container/container.h"

/* Reads the base's files of a MODEL record. On failure: LORT_E_DAMAGED or LORT_E_MEMORY. */
lort_code lort_base_files_get(lort_cursor *c, lort_arena *arena, lort_model_record *model,
                              lort_error *err);
/* Reads the base's tensor of a term. On failure: LORT_E_DAMAGED or LORT_E_MEMORY. */
lort_code lort_base_tensor_get(lort_cursor *c, lort_arena *arena, lort_base_tensor *out,
                               lort_error *err);
/* The term that names the base's tensor of a part; NULL: the part is no difference. */
const lort_term *lort_part_base(const lort_part *part);

#endif
