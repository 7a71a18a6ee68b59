/* verify: decodes a whole container, and so checks every hash and every shape. First it opens the
 * model that restore would write. The quick form decodes records only. */
#include "compress/delta/base.h"
#include "compress/goal/given.h"
#include "compress/read/finite.h"
#include "compress/read/headers.h"
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
    const lort_block_grid grid = lort_block_grid_of(run->slice->shape.rows, run->slice->shape.cols);
    const lort_block_place place = lort_block_get(&grid, item);
    lort_session_tick(&run->reading->session,
                      LORT_TICKS_DECODE * (uint64_t)(place.rows * place.cols));
    return code ? code : lort_session_check_stop(&run->reading->session, err);
}

static lort_code verify_blocks(lort_reading *reading, const lort_slice *slice, lort_error *err)
{
    const lort_block_grid grid = lort_block_grid_of(slice->shape.rows, slice->shape.cols);
    block_run run = {reading, slice};
    return lort_pool_each(reading->session.pool, grid.down * grid.across, verify_block, &run, err);
}

/* Checks a part that is not kept whole. lort_slice_open decodes the factors and refuses NaN. Then
 * blocks of integers or trits are decoded, and the bytes of kept slices. Last, the sum must be
 * numbers that every type can be made from. Slices without chunks have nothing to check. */
static lort_code verify_slices(lort_reading *reading, const lort_part *part, lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint32_t s = lort_part_stored(part, 0); s < part->slices && code == LORT_OK;
         s = lort_part_stored(part, s + 1)) {
        lort_slice slice;
        code = lort_slice_open(reading->archive, part, s, &reading->session.scratch[0],
                               &reading->session.alloc, &slice, err);
        if (code)
            break;
        if (slice.term[LORT_TERM_RAW])
            code = lort_reading_bytes(reading, part, s, NULL, NULL, err);
        if (code == LORT_OK && lort_slice_has_blocks(&slice))
            code = verify_blocks(reading, &slice, err);
        if (code == LORT_OK)
            code = lort_slice_check_finite(&slice, &reading->session.scratch[0],
                                           &reading->session.alloc, err);
        if (code == LORT_OK)
            code = lort_session_check_stop(&reading->session, err);
        lort_slice_close(&slice);
    }
    return code;
}

static lort_code check_headers(lort_reading *reading, lort_error *err)
{
    lort_headers headers;
    lort_code code = lort_headers_open(&headers, reading, err);
    lort_headers_close(&headers);
    return code;
}

lort_code lort_reading_verify(lort_reading *reading, lort_error *err)
{
    lort_code code = check_headers(reading, err);
    for (uint64_t i = 0; code == LORT_OK && i < lort_archive_count(reading->archive); i++) {
        const lort_part *part = lort_archive_part(reading->archive, i);
        lort_reading_begin(reading, part);
        if (part->same) /* its origin was decoded already */
            code = LORT_OK;
        else
            code = lort_part_is_raw(part) ? lort_reading_check_raw(reading, part, err)
                                          : verify_slices(reading, part, err);
        if (code)
            lort_reading_name_error(part, err);
        else
            code = lort_reading_done(reading, part, err);
    }
    return code ? code : lort_session_check_stop(&reading->session, err);
}

static uint64_t part_cost(const void *ctx, const lort_part *part, unsigned threads)
{
    (void)ctx;
    (void)threads;
    return lort_finite_bytes(part);
}

/* Without a base LoRT checks all but the restored bytes. */
static lort_code open_base(lort_reading *reading, const lort_run_options *run, lort_base **base,
                           lort_error *err)
{
    if (run->base || !lort_archive_has_base(reading->archive))
        return lort_base_attach(&reading->session, run->base, reading->archive, base, err);
    lort_archive_set_base(reading->archive, &(lort_base_reader){.absent = true});
    return LORT_OK;
}

static lort_code verify_payload(lort_reading *reading, const lort_run_options *run,
                                const lort_base *base, lort_error *err)
{
    lort_code code = lort_reading_start(reading, run,
                                        lort_headers_cost(reading->archive, false) +
                                            lort_base_cost(base, reading->session.threads),
                                        part_cost, NULL, err);
    return code ? code : lort_reading_verify(reading, err);
}

lort_code lort_verify(const char *path, const lort_verify_options *given,
                      const lort_observer *observer, lort_report *report, lort_error *err)
{
    lort_reading reading;
    lort_verify_options options;
    lort_run_options run;
    lort_base *base = NULL;
    lort_code code = lort_given_verify(given, &options, report, err);
    if (code == LORT_OK)
        code = lort_given_run(options.run, &run, report, err);
    if (code)
        return code;
    code = lort_reading_open(&reading, LORT_COMMAND_VERIFY, path, &run, observer, report, err);
    if (code == LORT_OK && !options.quick)
        code = open_base(&reading, &run, &base, err);
    if (code == LORT_OK && !options.quick) /* open has read all records */
        code = verify_payload(&reading, &run, base, err);
    if (code == LORT_OK)
        code = lort_archive_unchanged(reading.archive, err);
    if (code == LORT_OK)
        code = lort_base_unchanged(base, err);
    if (code == LORT_OK && !options.quick)
        lort_session_end(&reading.session);
    if (code == LORT_OK)
        report->verified = options.quick                                     ? "records"
                           : lort_archive_has_base(reading.archive) && !base ? "without base"
                                                                             : "all";
    if (code == LORT_E_DAMAGED || code == LORT_E_READ)
        lort_error_file(err, path);
    lort_base_close(base);
    lort_reading_close(&reading);
    return code;
}
