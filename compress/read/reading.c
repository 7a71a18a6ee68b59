/* reading: see reading.h. The plan counts workers, window and the largest part, and gives up
 * workers one by one until the sum fits the budget. */
#include "compress/read/reading.h"
#include "compress/session/figures.h"
#include "compress/session/report.h"
#include "formats/container/part.h"
#include <math.h>
#include <string.h>

/* The entry of the tensor of a part: the tensors are listed by the numbers of their parts. */
static uint64_t entry_of_part(const lort_archive *archive, uint64_t number)
{
    const lort_index *names = lort_archive_names(archive);
    uint64_t low = 0, high = names->count - 1;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (names->tensors[middle].offset < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Fills entry `at`. last: the tensor before. */
static void list_part(lort_report *report, const lort_archive *archive, const lort_part *part,
                      uint64_t at, const lort_part *last)
{
    const lort_model_record *model = lort_archive_model(archive);
    const lort_extent *extent = &model->extents[part->number];
    lort_tensor_report *entry = &report->tensors[at];
    entry->name = lort_report_escape(report, part->name, part->name_bytes);
    entry->n_dims = part->n_dims;
    entry->shape = lort_report_shape(report, part->dims, part->n_dims);
    entry->dtype = lort_report_dtype(report, part->type);
    lort_reading_figures(report, part,
                         lort_archive_index(archive)->entries[part->number].record_bytes, entry);
    entry->slices = part->slices;
    if (part->same)
        lort_report_same(report, &report->tensors[entry_of_part(archive, part->origin)], entry);
    entry->bytes_in = part->source_bytes;
    entry->offset = extent->offset;
    entry->file = lort_report_file(report, at, model->files[extent->file].name,
                                   last && model->extents[last->number].file == extent->file);
}

lort_code lort_reading_list(const lort_archive *archive, lort_report *report, lort_error *err)
{
    const lort_model_record *model = lort_archive_model(archive);
    uint64_t count = 0, at = 0;
    double stored = 0, elements = 0;
    const lort_part *last = NULL;
    for (uint64_t i = 0; i < lort_archive_count(archive); i++)
        count += lort_archive_part(archive, i)->tensor;
    lort_code code = lort_report_tensors(report, count, err);
    for (uint64_t i = 0; code == LORT_OK && i < lort_archive_count(archive); i++) {
        const lort_part *part = lort_archive_part(archive, i);
        if (!part->tensor)
            continue;
        list_part(report, archive, part, at++, last);
        last = part;
        if (part->type->kind == LORT_KIND_OPAQUE) /* no weights */
            continue;
        stored += (double)report->tensors[at - 1].bytes_out;
        elements += part->same ? 0 : (double)lort_part_elements(part);
    }
    if (code)
        return code;
    lort_report_errors(report);
    report->input_format = "lort";
    report->input_bytes = lort_archive_size(archive);
    report->input_files = model->file_count;
    report->bpw = elements > 0 ? 8 * stored / elements : NAN;
    return lort_report_check(report, err);
}

/* Bytes for things that do not depend on the tensors: the read-back of lort_publish, buffers of
 * records, hashers, lists. */
#define SMALL_THINGS (2u << 20)

/* Bytes that the workers take for any part: chunks to decode, stored chunks if the file is not
 * mapped, and slots of the window. */
static uint64_t workers_cost(const lort_reading *reading, unsigned threads, uint64_t chunk)
{
    return reading->session.base_anon + lort_budget_used(reading->session.budget) +
           lort_session_cost(&reading->session, threads, LORT_ZSTD_LEVEL_DEFAULT, chunk,
                             &reading->blocks) +
           threads * lort_codec_bound(chunk) + 2 * threads * 2 * chunk + SMALL_THINGS;
}

typedef struct part_cost {
    uint64_t bytes;
    const lort_part *part; /* NULL: all parts are kept whole */
} part_cost;

/* The part that takes the most memory. */
static part_cost largest_part(const lort_reading *reading, unsigned threads,
                              lort_part_cost_fn *cost, const void *ctx)
{
    part_cost most = {0};
    for (uint64_t i = 0; i < lort_archive_count(reading->archive); i++) {
        const lort_part *part = lort_archive_part(reading->archive, i);
        if (part->same || lort_part_is_raw(part))
            continue;
        uint64_t bytes = lort_part_memory(part) + (cost ? cost(ctx, part, threads) : 0);
        if (bytes > most.bytes)
            most = (part_cost){bytes, part};
    }
    return most;
}

static lort_code open_window(lort_reading *reading, uint64_t chunk, lort_error *err)
{
    void *memory;
    reading->window = 2 * reading->session.threads;
    lort_code code =
        lort_take_zero(&reading->session.alloc, reading->window * sizeof *reading->slots,
                       "the window", &memory, err);
    if (code)
        return code;
    reading->slots = memory;
    for (unsigned i = 0; i < reading->window && code == LORT_OK; i++)
        code = lort_scratch_open_read(&reading->slots[i], &reading->session.alloc, chunk, err);
    return code;
}

/* The bytes that a part adds to the container. */
static uint64_t stored_bytes(const lort_reading *reading, const lort_part *part)
{
    return (part->same ? 0 : part->payload_bytes) +
           lort_archive_index(reading->archive)->entries[part->number].record_bytes;
}

/* What it costs to decode a part. */
static uint64_t decode_cost(const lort_part *part)
{
    return part->same               ? 0
           : lort_part_is_raw(part) ? part->source_bytes
                                    : LORT_TICKS_DECODE * lort_part_elements(part);
}

static lort_phase phase_of(lort_command command)
{
    return command == LORT_COMMAND_RESTORE || command == LORT_COMMAND_RUN ? LORT_PHASE_WRITING
                                                                          : LORT_PHASE_CHECKING;
}

void lort_reading_expect(lort_reading *reading, uint64_t first, uint64_t count)
{
    uint64_t cost = 0, bytes = 0, tensors = 0;
    for (uint64_t i = first; i < first + count; i++) {
        const lort_part *one = lort_archive_part(reading->archive, i);
        cost += decode_cost(one);
        bytes += stored_bytes(reading, one);
        tensors += one->tensor;
    }
    if (count < lort_archive_count(reading->archive)) {
        reading->session.total_bytes = bytes;
        reading->session.tensors_total = tensors;
    }
    lort_meter_expect(&reading->session.meter, phase_of(reading->session.report->command), cost,
                      bytes, tensors);
}

lort_code lort_reading_start(lort_reading *reading, const lort_run_options *run, uint64_t fixed,
                             lort_part_cost_fn *cost, const void *ctx, lort_error *err)
{
    lort_session *session = &reading->session;
    uint64_t limit = lort_session_limit(session, run->memory_bytes),
             chunk = lort_archive_chunk_max(reading->archive);
    unsigned threads = session->threads;
    part_cost largest = largest_part(reading, threads, cost, ctx);
    uint64_t peak = workers_cost(reading, threads, chunk) + fixed + largest.bytes;
    while (threads > 1 && peak > limit) {
        largest = largest_part(reading, --threads, cost, ctx);
        peak = workers_cost(reading, threads, chunk) + fixed + largest.bytes;
    }
    if (peak < lort_session_peak(session)) /* records took more than the work will take */
        peak = lort_session_peak(session);
    session->report->planned_peak_bytes = peak;
    if (peak > limit)
        return lort_session_refuse(largest.part ? largest.part->name : NULL,
                                   largest.part ? largest.part->name_bytes : 0, peak, limit, err);
    lort_budget_limit(session->budget, limit);
    lort_code code =
        lort_session_start(session, threads, LORT_ZSTD_LEVEL_DEFAULT, chunk, &reading->blocks, err);
    if (code == LORT_OK)
        code = open_window(reading, chunk, err);
    if (code)
        return code;
    lort_session_say(session, LORT_EVENT_START, NULL, NULL);
    lort_reading_expect(reading, 0, lort_archive_count(reading->archive));
    lort_session_enter(session, phase_of(session->report->command));
    return LORT_OK;
}

lort_code lort_reading_open(lort_reading *reading, lort_command command, const char *path,
                            const lort_run_options *run, const lort_observer *observer,
                            lort_report *report, lort_error *err)
{
    bool archive;
    *reading = (lort_reading){0};
    lort_code code = lort_session_open(&reading->session, command, run->memory_bytes, run->threads,
                                       observer, report, err);
    if (code)
        return code;
    reading->session.offline = run->offline;
    reading->session.spool = run->spool;
    report->input_path = lort_report_escape(report, path, strlen(path));
    code = lort_named_find(path, run->offline, &reading->session.alloc, &reading->named, err);
    if (code == LORT_OK) {
        lort_named_report(&reading->named, report);
        code = lort_named_told(&reading->named, &archive, err);
    }
    if (code == LORT_OK && reading->named.remote)
        code = lort_fail(err, LORT_E_INPUT, "a model, not a container: %s takes a container",
                         lort_command_text(command));
    if (code == LORT_OK) {
        code =
            lort_archive_open_until(reading->named.path, &reading->session.alloc,
                                    lort_session_stops, &reading->session, &reading->archive, err);
    }
    if (code == LORT_OK)
        code = lort_reading_list(reading->archive, report, err);
    if (code)
        return lort_session_name_limit(&reading->session, path, code, err);
    lort_archive_block_need(reading->archive, &reading->blocks);
    reading->session.total_bytes = lort_archive_size(reading->archive);
    reading->session.tensors_total = report->tensor_count;
    return LORT_OK;
}

void lort_reading_close(lort_reading *reading)
{
    const lort_alloc *alloc = &reading->session.alloc;
    if (!reading->session.budget) {
        lort_session_close(&reading->session);
        return;
    }
    for (unsigned i = 0; reading->slots && i < reading->window; i++)
        lort_scratch_close(&reading->slots[i], alloc);
    lort_give(alloc, reading->slots, reading->window * sizeof *reading->slots);
    lort_archive_close(reading->archive);
    lort_named_close(&reading->named);
    lort_session_close(&reading->session);
}

/* ---- bytes of a raw array ---- */

typedef struct byte_run {
    lort_reading *reading;
    const lort_part *part;
    uint64_t first; /* chunk */
    lort_sink_fn *sink;
    void *ctx;
} byte_run;

static lort_code decode_item(void *ctx, int64_t item, unsigned worker, unsigned slot,
                             lort_error *err)
{
    byte_run *run = ctx;
    lort_reading *reading = run->reading;
    return lort_archive_chunk(reading->archive, run->part, run->first + (uint64_t)item,
                              reading->session.scratch[worker].codec, reading->slots[slot].planes,
                              reading->slots[slot].bytes, err);
}

static lort_code commit_item(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    byte_run *run = ctx;
    const lort_chunk *chunk = &run->part->chunks[run->first + (uint64_t)item];
    lort_code code = lort_session_check_stop(&run->reading->session, err);
    if (code)
        return code;
    lort_session_tick(&run->reading->session, chunk->decoded);
    return run->sink ? run->sink(run->ctx, run->reading->slots[slot].bytes, chunk->decoded, err)
                     : LORT_OK;
}

lort_code lort_reading_chunks(lort_reading *reading, const lort_part *part, uint64_t first,
                              uint64_t count, lort_sink_fn *sink, void *ctx, lort_error *err)
{
    byte_run run = {reading, part, first, sink, ctx};
    return lort_pool_run(reading->session.pool, (int64_t)count, reading->window, decode_item,
                         commit_item, &run, err);
}

lort_code lort_reading_bytes(lort_reading *reading, const lort_part *part, uint32_t slice,
                             lort_sink_fn *sink, void *ctx, lort_error *err)
{
    uint64_t first, count;
    lort_part_array(part, LORT_ARRAY_RAW, slice, &first, &count);
    return lort_reading_chunks(reading, part, first, count, sink, ctx, err);
}

lort_code lort_reading_all_bytes(lort_reading *reading, const lort_part *part, lort_sink_fn *sink,
                                 void *ctx, lort_error *err)
{
    return lort_reading_chunks(reading, part, 0, part->chunk_count, sink, ctx, err);
}

lort_code lort_reading_hash(void *hasher, const void *bytes, uint64_t n, lort_error *err)
{
    (void)err;
    lort_hasher_add(hasher, bytes, n);
    return LORT_OK;
}

lort_code lort_reading_check_hash(const lort_part *part, const lort_hasher *hasher, lort_error *err)
{
    lort_hash128 found = lort_hasher_value(hasher);
    if (memcmp(found.bytes, part->source.bytes, sizeof found.bytes) == 0)
        return LORT_OK;
    return lort_fail(err, LORT_E_DAMAGED, "the decoded bytes do not have the hash of the source");
}

lort_code lort_reading_check_raw(lort_reading *reading, const lort_part *part, lort_error *err)
{
    lort_hasher *hasher;
    lort_code code = lort_hasher_open(&reading->session.alloc, &hasher, err);
    if (code == LORT_OK)
        code = lort_reading_all_bytes(reading, part, lort_reading_hash, hasher, err);
    if (code == LORT_OK && !lort_archive_part_absent(reading->archive, part))
        code = lort_reading_check_hash(part, hasher, err);
    lort_hasher_close(hasher);
    return code;
}

lort_code lort_reading_name_error(const lort_part *part, lort_error *err)
{
    char name[200];
    if (!part->tensor)
        return lort_error_prefix(err, "part %llu", (unsigned long long)part->number);
    lort_error_tensor(err, part->name, part->name_bytes);
    return lort_error_prefix(err, "tensor %s",
                             lort_escape(name, sizeof name, part->name, part->name_bytes));
}

/* Finds the report entry of a part. Parts come in order, or there is one part only, so a walk from
 * the last part is short. */
static const lort_tensor_report *entry_of(lort_reading *reading, const lort_part *part)
{
    if (part->number < reading->part)
        reading->part = reading->entry = 0;
    for (; reading->part < part->number; reading->part++)
        reading->entry += lort_archive_part(reading->archive, reading->part)->tensor;
    return &reading->session.report->tensors[reading->entry];
}

lort_code lort_reading_list_one(lort_reading *reading, const lort_part *part, lort_error *err)
{
    lort_report *report = reading->session.report;
    const double elements = (double)lort_part_elements(part);
    report->tensors += entry_of(reading, part) - report->tensors;
    report->tensor_count = 1;
    report->bpw = elements > 0 ? 8 * (double)report->tensors->bytes_out / elements : NAN;
    report->worst_error = NAN;
    lort_report_errors(report);
    reading->part = part->number; /* its place in the report */
    reading->entry = 0;
    reading->session.total_bytes = stored_bytes(reading, part);
    reading->session.tensors_total = 1;
    return lort_report_check(report, err);
}

void lort_reading_begin(lort_reading *reading, const lort_part *part)
{
    lort_session_work_on(&reading->session, part->tensor ? entry_of(reading, part) : NULL);
}

lort_code lort_reading_done(lort_reading *reading, const lort_part *part, lort_error *err)
{
    lort_session *session = &reading->session;
    lort_archive_release(reading->archive, part);
    session->done_bytes += stored_bytes(reading, part);
    lort_session_did(session, decode_cost(part), stored_bytes(reading, part), part->tensor);
    lort_code code = lort_session_check_stop(session, err);
    if (code || !part->tensor)
        return code;
    lort_session_sample(session);
    session->tensors_done++;
    lort_session_say(session, LORT_EVENT_TENSOR, entry_of(reading, part), NULL);
    return LORT_OK;
}
