/* verify: decodes a whole container, and so checks every hash and every shape. */
#include "compress/read/reading.h"
#include "compress/session/report.h"
#include "formats/container/part.h"
#include <math.h>

typedef struct block_run {
    lort_reading *reading;
    const lort_slice *slice;
} block_run;

static lort_code verify_block(void *ctx, int64_t item, unsigned worker, unsigned slot,
                              lort_error *err)
{
    const block_run *run = ctx;
    lort_chunk_cache cache = {0};
    (void)slot;
    lort_code code =
        lort_slice_load(run->slice, item, &run->reading->session.scratch[worker], &cache, err);
    return code ? code : lort_session_check_stop(&run->reading->session, err);
}

static lort_code verify_blocks(lort_reading *reading, const lort_slice *slice, lort_error *err)
{
    const lort_block_grid grid = lort_block_grid_of(slice->shape.rows, slice->shape.cols);
    block_run run = {reading, slice};
    return lort_pool_each(reading->session.pool, grid.down * grid.across, verify_block, &run, err);
}

/* Checks a part that is not kept whole. lort_slice_open decodes the factors and refuses NaN. Then
 * blocks of integers or trits are decoded, and the bytes of kept slices. */
static lort_code verify_slices(lort_reading *reading, const lort_part *part, lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint32_t s = 0; s < part->slices && code == LORT_OK; s++) {
        lort_slice slice;
        code = lort_slice_open(reading->archive, part, s, &reading->session.scratch[0],
                               &reading->session.alloc, &slice, err);
        if (code)
            break;
        if (slice.term[LORT_TERM_RAW])
            code = lort_reading_bytes(reading, part, s, NULL, NULL, err);
        if (lort_slice_has_blocks(&slice))
            code = verify_blocks(reading, &slice, err);
        lort_slice_close(&slice);
    }
    return code;
}

/* Checks a kept part: its decoded bytes must have the hash of the source. */
static lort_code verify_raw(lort_reading *reading, const lort_part *part, lort_error *err)
{
    lort_hasher *hasher;
    lort_code code = lort_hasher_open(&reading->session.alloc, &hasher, err);
    for (uint32_t s = 0; s < part->slices && code == LORT_OK; s++)
        code = lort_reading_bytes(reading, part, s, lort_reading_hash, hasher, err);
    if (code == LORT_OK)
        code = lort_reading_check_hash(part, hasher, err);
    lort_hasher_close(hasher);
    return code;
}

lort_code lort_reading_verify(lort_reading *reading, lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint64_t i = 0; code == LORT_OK && i < lort_archive_count(reading->archive); i++) {
        const lort_part *part = lort_archive_part(reading->archive, i);
        code = lort_part_is_raw(part) ? verify_raw(reading, part, err)
                                      : verify_slices(reading, part, err);
        if (code)
            lort_reading_name_error(part, err);
        else
            code = lort_reading_done(reading, part, err);
    }
    return code ? code : lort_session_check_stop(&reading->session, err);
}

lort_code lort_verify(const char *path, const lort_run_options *run, const lort_observer *observer,
                      lort_report *report, lort_error *err)
{
    lort_reading reading;
    lort_code code =
        lort_reading_open(&reading, LORT_COMMAND_VERIFY, path, run, observer, report, err);
    if (code == LORT_OK)
        code = lort_reading_start(&reading, run, 0, NULL, NULL, err);
    if (code == LORT_OK)
        code = lort_reading_verify(&reading, err);
    if (code == LORT_OK)
        code = lort_archive_unchanged(reading.archive, err);
    lort_reading_close(&reading);
    return code;
}
