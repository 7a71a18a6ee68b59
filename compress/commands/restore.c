/* restore: writes the files of a model from a container.
 *
 * Kept tensors come back byte for byte. Factored and coded tensors are decoded and written in their
 * own type if it is F32, F16 or BF16, else in F16; --dtype overrides that. Where a type changes,
 * the header of the file, its offsets and total_size of index.json change along. */
#include "compress/delta/base.h"
#include "compress/files/layout.h"
#include "compress/files/names.h"
#include "compress/files/outlet.h"
#include "compress/files/rows.h"
#include "compress/goal/given.h"
#include "compress/read/finite.h"
#include "compress/session/report.h"
#include "formats/base/bytes.h"
#include "formats/base/plain_path.h"
#include "formats/container/part.h"
#include "formats/inputs/shards.h"
#include "loader/store/publish.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct restoring {
    lort_reading reading;
    const lort_restore_options *options;
    lort_run_options run;
    const lort_part *part; /* --tensor, or NULL */
    lort_layout layout;
    lort_outlet outlet;
    lort_hasher *hasher;
    lort_base *base; /* NULL: none */
    uint32_t file;   /* --file */
    uint64_t held;   /* bytes of files that stay in memory, about; 0: none do */
} restoring;

static const lort_alloc *alloc_of(const restoring *r) { return &r->reading.session.alloc; }
static const lort_model_record *model_of(const restoring *r)
{
    return lort_archive_model(r->reading.archive);
}
static const lort_part *part_of(const restoring *r, uint64_t i)
{
    return lort_archive_part(r->reading.archive, i);
}

/* ---- memory ---- */

static uint64_t rows_cost(const void *ctx, const lort_part *part, unsigned threads)
{
    const restoring *r = ctx;
    const uint64_t rows =
        lort_rows_bytes(lort_part_matrices(part), lort_layout_type(&r->layout, part), threads);
    return rows > lort_finite_bytes(part) ? rows : lort_finite_bytes(part);
}

/* Bytes of all restored files, without what new headers add. */
static uint64_t held_bytes(const restoring *r)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < model_of(r)->extent_count; i++)
        if (!lort_add_u64(sum, lort_layout_part_bytes(&r->layout, part_of(r, i)), &sum))
            return UINT64_MAX;
    return sum;
}

/* The advice of refuse_held: a smaller type, if there is one. */
static const char *smaller_type(restoring *r, uint64_t bytes, char *out, size_t cap)
{
    char size[32];
    const lort_dtype_info *wanted = r->layout.wanted;
    r->layout.wanted = lort_dtype_get(LORT_F16);
    const uint64_t small = held_bytes(r);
    r->layout.wanted = wanted;
    if (small >= bytes)
        return "";
    snprintf(out, cap, "give --dtype F16 (%s), ", lort_size_text(small, size, sizeof size));
    return out;
}

static lort_code refuse_held(restoring *r, uint64_t bytes, lort_error *err)
{
    const lort_session *session = &r->reading.session;
    const lort_memory *memory = &session->memory;
    const uint64_t limit = lort_session_limit(session, r->run.memory_bytes);
    const bool given = r->run.memory_bytes != 0;
    char size[32], peak[32], available[32], share[32], advice[100];
    lort_fail(err, LORT_E_MEMORY,
              "not enough memory: the restored files take %s and decoding takes %s beside them; "
              "%s leaves %s%s%s; %sgive more with --memory, or use lort restore",
              lort_size_text(bytes, size, sizeof size),
              session->report->planned_peak_bytes
                  ? lort_size_text(session->report->planned_peak_bytes, peak, sizeof peak)
                  : "more",
              memory->sources[memory->binding].name,
              lort_size_text(memory->available, available, sizeof available),
              given ? "" : ", and LoRT takes at most ",
              given ? "" : lort_size_text(limit, share, sizeof share),
              smaller_type(r, bytes, advice, sizeof advice));
    return LORT_E_MEMORY;
}

/* ---- parts ---- */

static lort_code append_and_hash(void *ctx, const void *bytes, uint64_t n, lort_error *err)
{
    restoring *r = ctx;
    lort_hasher_add(r->hasher, bytes, n);
    return lort_outlet_append(&r->outlet, bytes, n, err);
}

static lort_code write_raw(restoring *r, const lort_part *part, lort_error *err)
{
    lort_code code = lort_hasher_open(alloc_of(r), &r->hasher, err);
    if (code == LORT_OK)
        code = lort_reading_all_bytes(&r->reading, part, append_and_hash, r, err);
    if (code == LORT_OK)
        code = lort_reading_check_hash(part, r->hasher, err);
    lort_hasher_close(r->hasher);
    r->hasher = NULL;
    return code;
}

static lort_code write_slice(restoring *r, const lort_part *part, uint32_t number, lort_error *err)
{
    const lort_dtype_info *type = lort_layout_type(&r->layout, part);
    lort_slice slice;
    lort_code code = lort_slice_open(r->reading.archive, part, number,
                                     &r->reading.session.scratch[0], alloc_of(r), &slice, err);
    if (code)
        return code;
    code = lort_slice_check_finite(&slice, &r->reading.session.scratch[0], alloc_of(r), err);
    if (code == LORT_OK && type->id == part->dtype && slice.term[LORT_TERM_RAW])
        code = lort_reading_bytes(&r->reading, part, number, lort_outlet_append, &r->outlet, err);
    else if (code == LORT_OK)
        code = lort_rows_give_all(&r->reading, &slice, type, lort_outlet_append, &r->outlet, err);
    lort_slice_close(&slice);
    return code;
}

/* Slices without chunks are zeros. Any number of them in a row is written as one piece. */
static lort_code write_factored(restoring *r, const lort_part *part, lort_error *err)
{
    const lort_matrices shape = lort_part_matrices(part);
    const uint64_t bytes = (uint64_t)shape.rows * (uint64_t)shape.cols *
                           lort_layout_type(&r->layout, part)->block_bytes;
    lort_code code = LORT_OK;
    for (uint32_t s = 0; s < part->slices && code == LORT_OK; s++) {
        const uint32_t first = s;
        s = lort_part_stored(part, first);
        code = lort_outlet_pad(&r->outlet, r->outlet.size + (s - first) * bytes, err);
        if (code == LORT_OK && s < part->slices)
            code = write_slice(r, part, s, err);
    }
    return code;
}

static lort_code write_part(restoring *r, const lort_part *part, lort_error *err)
{
    lort_reading_begin(&r->reading, part);
    lort_code code =
        lort_part_is_raw(part) ? write_raw(r, part, err) : write_factored(r, part, err);
    if (code)
        return lort_reading_name_error(part, err);
    return lort_reading_done(&r->reading, part, err);
}

/* ---- files whose tensors change their type ---- */

/* Checks a part that is not copied, since LoRT writes other bytes in its place. What verify refuses
 * is not restored, even if these bytes are not needed. */
static lort_code check_replaced(restoring *r, const lort_part *part, lort_error *err)
{
    lort_code code = lort_reading_check_raw(&r->reading, part, err);
    if (code)
        return lort_reading_name_error(part, err);
    return lort_reading_done(&r->reading, part, err);
}

static lort_code write_retyped(restoring *r, const lort_out_file *out, lort_error *err)
{
    lort_code code = lort_outlet_append(&r->outlet, out->header.data, out->header.size, err);
    for (uint64_t i = 0; i < out->count && code == LORT_OK; i++) {
        const lort_part *part = part_of(r, out->first + i);
        if (!part->tensor) { /* the new header and zeros take the place of these bytes */
            code = check_replaced(r, part, err);
            continue;
        }
        code = lort_outlet_pad(&r->outlet, out->places[i], err);
        if (code == LORT_OK)
            code = write_part(r, part, err);
    }
    return code ? code : lort_outlet_pad(&r->outlet, out->size, err);
}

/* ---- the whole ---- */

static lort_code write_file(restoring *r, uint32_t file, lort_error *err)
{
    const lort_out_file *out = &r->layout.files[file];
    const char *name = model_of(r)->files[file].name;
    lort_code code = lort_outlet_file(&r->outlet, name, name, out->size, err);
    if (code)
        return code;
    if (out->retyped)
        return write_retyped(r, out, err);
    for (uint64_t i = out->first; i < out->first + out->count && code == LORT_OK; i++)
        code = out->text.size ? check_replaced(r, part_of(r, i), err)
                              : write_part(r, part_of(r, i), err);
    if (code == LORT_OK && out->text.size)
        code = lort_outlet_append(&r->outlet, out->text.data, out->text.size, err);
    return code;
}

/* --force replaces a file, which must not be the container that is read. */
static lort_code check_output(const restoring *r, const char *output,
                              const lort_file_info *container, lort_error *err)
{
    lort_file_info info;
    bool exists;
    char shown[300];
    if (lort_os_stat(output, &info, &exists, NULL) || !exists || info.device != container->device ||
        info.inode != container->inode)
        return LORT_OK;
    return lort_fail(err, LORT_E_USAGE, "%s: the output is the container itself",
                     lort_escape_text(shown, sizeof shown, output));
}

/* Begins the output on the disk. It gets the permissions of the container, so that a secret model
 * stays secret. */
static lort_code begin_publish(restoring *r, const char *output, uint64_t bytes, bool directory,
                               lort_error *err)
{
    lort_file_info info = {.mode = 0600};
    bool exists;
    lort_code code = lort_os_stat(lort_archive_path(r->reading.archive), &info, &exists, err);
    if (code == LORT_OK)
        code = check_output(r, output, &info, err);
    if (code == LORT_OK && directory)
        code = lort_names_check(model_of(r)->files, model_of(r)->file_count, lort_os_compare_names,
                                alloc_of(r), err);
    if (code)
        return code;
    lort_publish_options publish = {.directory = directory,
                                    .force = r->options->force,
                                    .mode = info.mode,
                                    .expect_bytes = bytes,
                                    .stop = lort_session_stops,
                                    .stop_ctx = &r->reading.session,
                                    .reads_back = lort_session_reads_back,
                                    .tells = lort_session_warn_text};
    lort_meter_expect(&r->reading.session.meter, LORT_PHASE_READING_BACK, bytes, bytes, 0);
    return lort_publish_begin(output, &publish, alloc_of(r), &r->outlet.publish, err);
}

static lort_code begin_output(restoring *r, const char *output, uint64_t bytes, bool directory,
                              lort_error *err)
{
    lort_report *report = r->reading.session.report;
    lort_code code = r->outlet.sink ? LORT_OK : begin_publish(r, output, bytes, directory, err);
    if (code == LORT_OK)
        report->output_path = lort_report_escape(report, output, strlen(output));
    r->outlet.hashes = r->options->sha256;
    r->outlet.several = directory;
    if (code == LORT_OK && r->outlet.hashes)
        code = lort_report_hashes(report, directory ? model_of(r)->file_count : 1, err);
    return code;
}

/* True if the name ends so, in upper or lower case. `end` is in lower case. */
static bool ends_so(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    bool same = n >= m;
    for (size_t i = 0; same && i < m; i++) {
        const char c = name[n - m + i];
        same = (c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c) == end[i];
    }
    return same;
}

/* A model of several files becomes a directory. Nobody means one by the name of a weight file. */
static lort_code check_name(const restoring *r, const char *output, lort_error *err)
{
    static const char *const ends[] = {".gguf", ".safetensors", ".lort", ".json", ".bin"};
    char shown[300];
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (!ends_so(output, ends[i]))
            continue;
        lort_fail(err, LORT_E_USAGE,
                  "output '%s' has the name of one file: the container holds several files, give a "
                  "directory (%s/ for a directory of this name)",
                  lort_escape_text(shown, sizeof shown, output), shown);
        lort_error_file(err, output);
        return LORT_E_USAGE;
    }
    return LORT_OK;
}

static lort_code refuse_several(const restoring *r, lort_error *err)
{
    const lort_model_record *model = model_of(r);
    char shown[200];
    uint32_t f = 0;
    while (f + 1 < model->file_count && model->files[f].role != LORT_ROLE_WEIGHTS)
        f++;
    return lort_fail(err, LORT_E_USAGE,
                     "the container holds %u files, and the output takes one: give --file NAME "
                     "(such as %s), or a directory (-o DIR)",
                     (unsigned)model->file_count,
                     lort_escape_text(shown, sizeof shown, model->files[f].name));
}

static lort_code restore_model(restoring *r, const char *output, lort_error *err)
{
    const lort_model_record *model = model_of(r);
    const lort_session *session = &r->reading.session;
    const uint64_t limit = lort_session_limit(session, r->run.memory_bytes),
                   peak = session->report->planned_peak_bytes;
    lort_code code = lort_layout_open(&r->layout, err);
    if (code == LORT_OK && r->held && r->layout.bytes > limit - peak)
        code = refuse_held(r, r->layout.bytes, err);
    if (code == LORT_OK)
        code = begin_output(r, output, r->layout.bytes, model->directory, err);
    for (uint32_t f = 0; code == LORT_OK && f < model->file_count; f++)
        code = write_file(r, f, err);
    r->reading.session.report->output_bytes = r->layout.bytes;
    return code;
}

static lort_code restore_file(restoring *r, const char *output, lort_error *err)
{
    lort_code code = lort_layout_open(&r->layout, err);
    if (code)
        return code;
    const lort_out_file *out = &r->layout.files[r->file];
    lort_reading_expect(&r->reading, out->first, out->count);
    code = begin_output(r, output, out->size, false, err);
    if (code == LORT_OK)
        code = write_file(r, r->file, err);
    r->reading.session.report->output_bytes = out->size;
    return code;
}

/* A header that cannot be decoded does not hurt a tensor. A header that says something else than
 * the records does. */
static lort_code check_headers(restoring *r, lort_error *err)
{
    lort_error why = {0};
    lort_headers headers;
    lort_code code = lort_headers_open(&headers, &r->reading, &why);
    const bool undecodable = headers.undecodable;
    lort_headers_close(&headers);
    if (code == LORT_E_DAMAGED && undecodable) {
        lort_session_warn(&r->reading.session, "%s", why.message);
        return LORT_OK;
    }
    return code ? lort_fail(err, code, "%s", why.message) : LORT_OK;
}

static lort_code refuse_name(const char *name, lort_error *err)
{
    char shown[200];
    lort_fail(err, LORT_E_USAGE, "no tensor '%s' in the container: lort inspect lists them",
              lort_escape_text(shown, sizeof shown, name));
    lort_error_tensor(err, name, strlen(name));
    return LORT_E_USAGE;
}

/* A container whose headers lie is damaged, whatever tensor is asked for. */
static lort_code restore_tensor(restoring *r, const char *output, lort_error *err)
{
    const lort_part *part = r->part;
    lort_code code = check_headers(r, err);
    if (code == LORT_OK && !part)
        code = refuse_name(r->options->tensor, err);
    if (code)
        return code;
    const uint64_t bytes = lort_layout_part_bytes(&r->layout, part);
    lort_reading_expect(&r->reading, part->number, 1);
    code = begin_output(r, output, bytes, false, err);
    if (code == LORT_OK)
        code = lort_outlet_file(&r->outlet, NULL, r->options->tensor, bytes, err);
    if (code == LORT_OK)
        code = write_part(r, part, err);
    r->reading.session.report->output_bytes = bytes;
    return code;
}

/* Checks the names in the request before any work, and lists the tensor that is to be written. */
static lort_code check_request(restoring *r, const char *output, lort_error *err)
{
    const lort_restore_options *o = r->options;
    const lort_model_record *model = model_of(r);
    if (o->tensor && o->file)
        return lort_fail(err, LORT_E_USAGE, "--tensor and --file: give one of them");
    if (o->file)
        return lort_layout_find(&r->layout, o->file, &r->file, err);
    if (o->tensor) {
        r->part = lort_archive_find(r->reading.archive, o->tensor, strlen(o->tensor));
        return r->part ? lort_reading_list_one(&r->reading, r->part, err) : LORT_OK;
    }
    if (o->sink)
        return o->sink->several || model->file_count == 1 ? LORT_OK : refuse_several(r, err);
    return model->directory ? check_name(r, output, err) : LORT_OK;
}

/* Starts the workers. Files that stay in memory leave them the rest of the limit. */
static lort_code start_work(restoring *r, lort_error *err)
{
    lort_run_options run = r->run;
    lort_session *session = &r->reading.session;
    const uint64_t limit = lort_session_limit(session, run.memory_bytes);
    r->held = r->options->sink && r->options->sink->in_memory ? held_bytes(r) : 0;
    if (r->held >= limit)
        return refuse_held(r, r->held, err);
    run.memory_bytes = r->held ? limit - r->held : run.memory_bytes;
    const uint64_t fixed = lort_layout_cost(&r->layout) + lort_base_cost(r->base, session->threads);
    lort_code code = lort_reading_start(&r->reading, &run, fixed, rows_cost, r, err);
    return code == LORT_E_MEMORY && r->held ? refuse_held(r, r->held, err) : code;
}

/* Nothing needs to be restored if a command is to run on a model. */
static lort_code refuse_model(const char *path, lort_code code, lort_error *err)
{
    lort_file_info info;
    bool exists = false, archive = false;
    char shown[300];
    if (code != LORT_E_INPUT || lort_os_stat(path, &info, &exists, NULL) || !exists ||
        lort_archive_told(path, &archive, NULL) || archive)
        return code;
    lort_fail(err, code, "%s is no container: run the command on it directly",
              lort_escape_text(shown, sizeof shown, path));
    lort_error_file(err, path);
    return code;
}

static lort_code write_output(restoring *r, const char *output, lort_error *err)
{
    lort_code code = r->options->tensor ? restore_tensor(r, output, err)
                     : r->options->file ? restore_file(r, output, err)
                                        : restore_model(r, output, err);
    if (code == LORT_OK)
        code = lort_session_check_stop(&r->reading.session, err);
    if (code == LORT_OK)
        code = lort_archive_unchanged(r->reading.archive, err);
    if (code == LORT_OK)
        code = lort_base_unchanged(r->base, err);
    return code ? code : lort_outlet_commit(&r->outlet, err);
}

lort_code lort_restore(const char *path, const char *output, const lort_restore_options *given,
                       const lort_observer *observer, lort_report *report, lort_error *err)
{
    lort_restore_options options;
    restoring r = {.options = &options};
    lort_code code = lort_given_restore(given, &options, report, err);
    if (code == LORT_OK)
        code = lort_given_run(options.run, &r.run, report, err);
    if (code)
        return code;
    const lort_command command =
        options.sink && options.sink->in_memory ? LORT_COMMAND_RUN : LORT_COMMAND_RESTORE;
    code = lort_reading_open(&r.reading, command, path, &r.run, observer, report, err);
    if (code && command == LORT_COMMAND_RUN)
        code = refuse_model(path, code, err);
    r.layout.reading = &r.reading;
    r.outlet = (lort_outlet){.sink = options.sink, .session = &r.reading.session};
    if (code == LORT_OK)
        code = lort_layout_dtype(options.dtype, &r.layout.wanted, err);
    if (code == LORT_OK)
        code = check_request(&r, output, err);
    if (code == LORT_OK)
        code = lort_base_attach(&r.reading.session, r.run.base, r.reading.archive, &r.base, err);
    if (code == LORT_OK)
        code = start_work(&r, err);
    if (code == LORT_OK)
        code = write_output(&r, output, err);
    if (code == LORT_OK)
        lort_session_end(&r.reading.session);
    if (code == LORT_OK)
        report->ratio =
            report->input_bytes ? (double)report->output_bytes / (double)report->input_bytes : NAN;
    if (code == LORT_E_DAMAGED || code == LORT_E_READ)
        lort_error_file(err, path);
    lort_outlet_close(&r.outlet);
    lort_layout_close(&r.layout);
    lort_base_close(r.base);
    lort_reading_close(&r.reading);
    return code;
}
