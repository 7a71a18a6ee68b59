/* merge: joins the files of all tasks into one container. It reads no weight: payloads and records
 * are copied as they are, since offsets in a PART record are relative to its payload.
 *
 *   task 0   HEAD MODEL | parts | INDEX TASK
 *   task 1   HEAD MODEL | parts | INDEX TASK
 *   output   HEAD MODEL | parts | parts | INDEX FOOTER
 */
#include "compress/goal/given.h"
#include "compress/join/set.h"
#include "compress/session/figures.h"
#include "compress/session/report.h"
#include "compress/task/target.h"
#include "formats/base/text.h"
#include "loader/store/archive.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct merging {
    lort_task_set set;
    lort_session session;
    lort_merge_options options;
    lort_codec *codec; /* of the level that a single process would use */
    lort_publish *publish;
    lort_index_entry *entries; /* [extents], in the container */
    lort_hash128 *sources;     /* [extents] */
    uint64_t *places;          /* [extents]: tensor in the report; UINT64_MAX: raw bytes */
    lort_hasher *model_hash;
    uint64_t tensors;   /* so far */
    uint32_t last_file; /* of the tensor before */
    double fail_above;  /* below 0: none */
    lort_error worst;   /* the first error above it; code OK: none */
} merging;

/* ---- the bytes ---- */

static lort_code copy_bytes(void *ctx, const void *bytes, uint64_t n, lort_error *err)
{
    merging *m = ctx;
    lort_code code = lort_session_check_stop(&m->session, err);
    if (code == LORT_OK)
        code = lort_publish_append(m->publish, bytes, n, err);
    if (code == LORT_OK) {
        lort_session_did(&m->session, n, n, 0);
        m->session.done_bytes += n;
        m->session.out_bytes += n;
    }
    return code;
}

/* The tensor of a part in the report. */
static void report_part(merging *m, const lort_part *part, uint64_t record_bytes)
{
    lort_report *report = m->session.report;
    const lort_model_record *model = &m->set.model;
    lort_tensor_report *entry = &report->tensors[m->tensors];
    const uint64_t before = m->tensors++;
    m->places[part->number] = before;
    entry->name = lort_report_escape(report, part->name, part->name_bytes);
    entry->n_dims = part->n_dims;
    entry->shape = lort_report_shape(report, part->dims, part->n_dims);
    entry->dtype = lort_report_dtype(report, part->type);
    lort_reading_figures(report, part, record_bytes, entry);
    entry->slices = part->slices;
    entry->bytes_in = part->source_bytes;
    if (part->same)
        lort_report_same(report, &report->tensors[m->places[part->origin]], entry);
    entry->offset = model->extents[part->number].offset;
    const uint32_t file = model->extents[part->number].file;
    entry->file =
        lort_report_file(report, before, model->files[file].name, before && file == m->last_file);
    m->last_file = file;
}

static void check_error(merging *m, const lort_tensor_report *tensor)
{
    if (m->fail_above < 0 || m->worst.code || !(tensor->rel_error > m->fail_above))
        return;
    lort_fail(&m->worst, LORT_E_NUMERIC,
              "%s: relative error %.6g is above --fail-above %g; nothing was published",
              tensor->name, tensor->rel_error, m->fail_above);
    snprintf(m->worst.tensor, sizeof m->worst.tensor, "%s", tensor->name); /* escaped already */
}

/* A part with the bytes of an earlier one must have its hash, whichever task coded that one. */
static lort_code check_same(const merging *m, const lort_part *part, lort_error *err)
{
    if (!part->same)
        return LORT_OK;
    if (m->places[part->origin] != UINT64_MAX &&
        memcmp(m->sources[part->origin].bytes, part->source.bytes, sizeof part->source.bytes) == 0)
        return LORT_OK;
    return lort_fail(err, LORT_E_INPUT,
                     "part %llu has not the bytes of part %llu, as it says: the tasks read two "
                     "states of the model",
                     (unsigned long long)part->number, (unsigned long long)part->origin);
}

static lort_code take_part(void *ctx, const lort_part *part, const lort_index_entry *entry,
                           lort_error *err)
{
    merging *m = ctx;
    lort_code code = check_same(m, part, err);
    if (code)
        return code;
    m->entries[part->number] = (lort_index_entry){
        lort_publish_size(m->publish) - entry->record_bytes, entry->record_bytes};
    m->sources[part->number] = part->source;
    m->places[part->number] = UINT64_MAX;
    lort_hasher_add(m->model_hash, part->source.bytes, sizeof part->source.bytes);
    if (!part->tensor)
        return LORT_OK;
    report_part(m, part, entry->record_bytes);
    check_error(m, &m->session.report->tensors[m->tensors - 1]);
    m->session.tensors_done++;
    lort_session_did(&m->session, 0, 0, 1);
    return lort_report_check(m->session.report, err);
}

static lort_code copy_task(merging *m, uint32_t task, lort_error *err)
{
    const lort_parts_sink sink = {copy_bytes, take_part, m};
    lort_parts_file parts = {0};
    lort_code code = lort_set_open(&m->set, task, &parts, err);
    if (code == LORT_OK)
        code = lort_parts_read(&parts, &m->set.model, &sink, err);
    if (code == LORT_E_DAMAGED || code == LORT_E_INPUT || code == LORT_E_READ)
        lort_set_name(&m->set, task, code, err);
    lort_parts_close(&parts);
    return code;
}

/* ---- the output ---- */

static lort_code write_record(merging *m, lort_frame_kind kind, lort_buffer *body, uint64_t *bytes,
                              lort_error *err)
{
    lort_code code = lort_buffer_check(body, err);
    if (code == LORT_OK)
        code = lort_record_write(m->publish, kind, body, m->codec, &m->session.alloc, bytes, err);
    lort_buffer_free(body);
    return code;
}

static lort_code write_end(merging *m, lort_error *err)
{
    const lort_index_record index = {m->entries, m->set.model.extent_count,
                                     lort_hasher_value(m->model_hash)};
    lort_footer footer = {.model_offset = LORT_HEADER_BYTES,
                          .index_offset = lort_publish_size(m->publish)};
    lort_buffer body = {.alloc = &m->session.alloc};
    uint64_t bytes;
    lort_index_record_put(&index, &body);
    lort_code code = write_record(m, LORT_FRAME_INDEX, &body, &footer.index_bytes, err);
    if (code)
        return code;
    footer.file_size = lort_publish_size(m->publish) + LORT_FOOTER_BYTES;
    body = (lort_buffer){.alloc = &m->session.alloc};
    lort_footer_put(&footer, &body);
    return write_record(m, LORT_FRAME_FOOTER, &body, &bytes, err);
}

/* A task computed its shares before anybody knew all records. So the container may miss its size by
 * a few bytes, as the first attempt of a single process may. */
static lort_code check_size(merging *m, lort_error *err)
{
    const lort_task_record *task = &m->set.first;
    const lort_size_target target = {task->size_limit, task->bpw_limit, (double)task->elements};
    lort_report *report = m->session.report;
    lort_error why;
    uint64_t over;
    report->output_bytes = lort_publish_size(m->publish);
    report->bpw = lort_target_bpw(&target, (double)m->set.counted);
    report->ratio =
        report->input_bytes ? (double)report->output_bytes / (double)report->input_bytes : NAN;
    lort_code code =
        lort_target_check(&target, report->output_bytes, (double)m->set.counted, &over, &why);
    return code ? lort_fail(err, code,
                            "%s; run all tasks again with --reserve %llu, then lort merge (their "
                            "curves stay good)",
                            why.message,
                            (unsigned long long)lort_target_reserve(task->reserve, over))
                : LORT_OK;
}

static lort_code check_quality(const merging *m, lort_error *err)
{
    if (m->worst.code && err)
        *err = m->worst;
    return m->worst.code;
}

static lort_code fill_output(merging *m, lort_error *err)
{
    lort_code code = lort_publish_append(m->publish, m->set.start.data, m->set.start.size, err);
    for (uint32_t t = 0; t < m->set.tasks && code == LORT_OK; t++)
        code = copy_task(m, t, err);
    if (code == LORT_OK)
        code = check_quality(m, err);
    if (code == LORT_OK)
        code = write_end(m, err);
    if (code == LORT_OK)
        code = check_size(m, err);
    return code;
}

static lort_code take_lists(merging *m, lort_error *err)
{
    const lort_alloc *alloc = &m->session.alloc;
    const uint64_t n = m->set.model.extent_count;
    void *memory;
    uint64_t tensors = 0;
    lort_code code = lort_take_zero(alloc, n * sizeof *m->entries, "the index", &memory, err);
    m->entries = code ? NULL : memory;
    if (code == LORT_OK)
        code = lort_take_zero(alloc, n * sizeof *m->sources, "source hashes", &memory, err);
    m->sources = code ? NULL : memory;
    if (code == LORT_OK)
        code = lort_take_zero(alloc, n * sizeof *m->places, "tensors", &memory, err);
    m->places = code ? NULL : memory;
    if (code == LORT_OK)
        code = lort_hasher_open(alloc, &m->model_hash, err);
    for (uint64_t i = 0; i < n; i++)
        tensors += m->set.model.extents[i].tensor;
    if (code == LORT_OK)
        code = lort_report_tensors(m->session.report, tensors, err);
    m->session.tensors_total = tensors;
    m->session.total_bytes = m->set.bytes;
    return code;
}

static void free_lists(merging *m)
{
    const lort_alloc *alloc = &m->session.alloc;
    const uint64_t n = m->set.model.extent_count;
    lort_give(alloc, m->entries, n * sizeof *m->entries);
    lort_give(alloc, m->sources, n * sizeof *m->sources);
    lort_give(alloc, m->places, n * sizeof *m->places);
    lort_hasher_close(m->model_hash);
}

/* The strictest limit of the tasks, unless the caller has one. */
static double limit_of(const merging *m)
{
    return m->options.fail_above >= 0 ? m->options.fail_above : m->set.fail_above;
}

static lort_code make_output(merging *m, const char *output, lort_error *err)
{
    const lort_publish_options how = {.force = m->options.force,
                                      .reads_along = true,
                                      .mode = m->set.mode,
                                      .expect_bytes = m->set.bytes,
                                      .stop = lort_session_stops,
                                      .stop_ctx = &m->session,
                                      .reads_back = lort_session_reads_back,
                                      .tells = lort_session_warn_text};
    lort_meter_expect(&m->session.meter, LORT_PHASE_WRITING, m->set.bytes, m->set.bytes,
                      m->session.tensors_total);
    lort_meter_expect(&m->session.meter, LORT_PHASE_READING_BACK, m->set.bytes, m->set.bytes, 0);
    lort_session_say(&m->session, LORT_EVENT_START, NULL, NULL);
    lort_session_enter(&m->session, LORT_PHASE_WRITING);
    m->fail_above = limit_of(m);
    lort_code code = lort_publish_begin(output, &how, &m->session.alloc, &m->publish, err);
    if (code)
        return code;
    lort_os_free_space(lort_publish_dir(m->publish), &m->session.report->disk_free_bytes, NULL);
    code = fill_output(m, err);
    if (code == LORT_OK)
        code = lort_publish_commit(m->publish, err);
    lort_publish_close(m->publish);
    return code;
}

static void fill_report(merging *m)
{
    lort_report *report = m->session.report;
    report->tasks = m->set.tasks;
    report->input_format = "tasks";
    report->input_files = m->set.model.file_count;
    for (uint32_t i = 0; i < m->set.model.file_count; i++)
        report->input_bytes += m->set.model.files[i].size;
}

/* LORT_E_EXISTS before any work, if the output is there. */
static lort_code look_at_output(const merging *m, const char *output, lort_error *err)
{
    bool exists;
    char shown[300];
    lort_code code = lort_task_look(output, &exists, err);
    if (code || !exists || m->options.force)
        return code;
    return lort_fail(err, LORT_E_EXISTS, "%s: file exists; --force replaces it",
                     lort_escape_text(shown, sizeof shown, output));
}

static lort_code merge(merging *m, const char *output, lort_error *err)
{
    lort_code code = look_at_output(m, output, err);
    if (code == LORT_OK)
        code = lort_set_find(&m->set, &m->session, output, &m->options, err);
    if (code)
        return code;
    fill_report(m);
    code = lort_codec_open((int)m->set.first.zstd_level, &m->codec, err);
    if (code == LORT_OK)
        code = take_lists(m, err);
    if (code == LORT_OK)
        code = make_output(m, output, err);
    if (code == LORT_OK) {
        lort_report_errors(m->session.report);
        if (!m->options.keep)
            lort_set_remove(&m->set);
        lort_session_end(&m->session);
    }
    free_lists(m);
    lort_codec_close(m->codec);
    return code;
}

lort_code lort_merge(const char *output, const lort_merge_options *given,
                     const lort_observer *observer, lort_report *report, lort_error *err)
{
    merging m = {.tensors = 0};
    lort_code code = lort_given_merge(given, &m.options, report, err);
    if (code)
        return code;
    code = lort_session_open_reader(&m.session, LORT_COMMAND_MERGE, m.options.memory_bytes,
                                    observer, report, err);
    if (code == LORT_OK) {
        report->output_path = lort_report_escape(report, output, strlen(output));
        code = merge(&m, output, err);
        code = lort_session_name_limit(&m.session, output, code, err);
    }
    lort_set_close(&m.set);
    lort_session_close(&m.session);
    return code;
}
