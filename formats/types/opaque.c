/* opaque: see opaque.h. */
#include "formats/types/opaque.h"
#include <inttypes.h>
#include <stdio.h>

typedef struct named_row {
    lort_dtype_info info;
    char name[16];
} named_row;

lort_code lort_opaque_row(lort_opaque_rows *rows, uint32_t id, lort_arena *arena,
                          const lort_dtype_info **out, lort_error *err)
{
    const lort_dtype_info **recent = rows ? &rows->recent[id % LORT_OPAQUE_RECENT] : NULL;
    void *memory;
    *out = recent ? *recent : NULL;
    if (*out && lort_ggml_id(*out) == id)
        return LORT_OK;
    *out = NULL;
    lort_code code = lort_arena_take(arena, sizeof(named_row), &memory, err);
    if (code)
        return code;
    named_row *row = memory;
    row->info = *lort_dtype_get(LORT_OPAQUE);
    row->info.id = (lort_dtype)(LORT_OPAQUE + id);
    snprintf(row->name, sizeof row->name, "type%" PRIu32, id);
    row->info.name = row->name;
    *out = &row->info;
    if (recent)
        *recent = *out;
    return LORT_OK;
}
