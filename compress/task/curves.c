/* curves: see curves.h. */
#include "compress/task/curves.h"
#include "formats/base/text.h"
#include <stdio.h>
#include <string.h>

#define NAMED_MOST 12 /* missing tasks that a message names */

lort_code lort_curves_put(const lort_curves_record *curves, const lort_alloc *alloc,
                          lort_codec *codec, lort_buffer *out, lort_error *err)
{
    lort_buffer head = {.alloc = alloc}, body = {.alloc = alloc};
    lort_head_put(&(lort_head){.major = LORT_CONTAINER_MAJOR, .minor = LORT_CONTAINER_MINOR},
                  &head);
    lort_curves_record_put(curves, &body);
    lort_code code = lort_record_append(LORT_FRAME_HEAD, &head, codec, alloc, out, err);
    if (code == LORT_OK)
        code = lort_record_append(LORT_FRAME_CURVES, &body, codec, alloc, out, err);
    lort_buffer_free(&head);
    lort_buffer_free(&body);
    return code;
}

static lort_code check_head(const lort_task_file *file, lort_error *err)
{
    lort_record record = {0};
    lort_head head;
    lort_code code =
        lort_record_read(&file->source, LORT_FRAME_HEAD, 0, LORT_HEADER_BYTES, &record, err);
    if (code == LORT_OK)
        code = lort_head_get(record.body, record.bytes, &head, err);
    lort_record_free(&record);
    return code;
}

static lort_code read_record(const lort_task_file *file, lort_record *record,
                             lort_curves_record *out, lort_error *err)
{
    lort_code code = check_head(file, err);
    if (code == LORT_OK)
        code = lort_record_read(&file->source, LORT_FRAME_CURVES, LORT_HEADER_BYTES, file->size,
                                record, err);
    if (code == LORT_OK && record->frame_bytes != file->size - LORT_HEADER_BYTES)
        code =
            lort_fail(err, LORT_E_DAMAGED, "%llu bytes follow its record",
                      (unsigned long long)(file->size - LORT_HEADER_BYTES - record->frame_bytes));
    return code ? code : lort_curves_record_get(record->body, record->bytes, out, err);
}

static lort_code compare_key(const lort_curves_from *from, const char *path,
                             const lort_curves_record *curves, bool *touched, lort_error *err)
{
    char shown[300];
    return lort_key_compare(lort_escape_text(shown, sizeof shown, path),
                            (lort_key){curves->key, curves->key_bytes}, from->key, true, touched,
                            err);
}

static lort_code name_file(const char *path, uint32_t task, uint32_t tasks, lort_code code,
                           lort_error *err)
{
    char shown[300];
    if (code == LORT_E_DAMAGED)
        lort_error_prefix(err, "%s: damaged, run task %u/%u with --measure again",
                          lort_escape_text(shown, sizeof shown, path), task, tasks);
    return code;
}

lort_code lort_curves_open(const lort_curves_from *from, uint32_t task, lort_record *record,
                           lort_curves_record *out, bool *found, bool *touched, lort_error *err)
{
    char path[LORT_TASK_NAME];
    lort_task_file file;
    *found = false;
    lort_code code = lort_task_path(from->output, LORT_TASK_CURVES, task, from->tasks, path, err);
    if (code == LORT_OK)
        code = lort_task_open(path, from->alloc, from->codec, &file, err);
    if (code || !file.file)
        return code;
    code = read_record(&file, record, out, err);
    if (code == LORT_OK && (out->task != task || out->tasks != from->tasks))
        code = lort_fail(err, LORT_E_DAMAGED, "it is of task %u/%u", out->task, out->tasks);
    *found = code == LORT_OK;
    code = name_file(path, task, from->tasks, code, err);
    if (code == LORT_OK)
        code = compare_key(from, path, out, touched, err);
    lort_task_close(&file);
    return code;
}

typedef struct missing_tasks {
    char names[200];
    uint32_t first, count;
} missing_tasks;

static void add_missing(missing_tasks *missing, uint32_t task)
{
    const size_t at = strlen(missing->names);
    if (missing->count == 0)
        missing->first = task;
    if (missing->count++ < NAMED_MOST)
        snprintf(missing->names + at, sizeof missing->names - at, "%s%u", at ? ", " : "", task);
}

static lort_code refuse_missing(const lort_curves_from *from, const missing_tasks *missing,
                                lort_error *err)
{
    char more[40] = "", shown[300];
    if (missing->count > NAMED_MOST)
        snprintf(more, sizeof more, " and %u more", missing->count - NAMED_MOST);
    return lort_fail(err, LORT_E_USAGE,
                     "%s: the curves of %u of %u tasks are missing: %s%s; make each with the same "
                     "options and --task %u/%u --measure, then run this task again",
                     lort_escape_text(shown, sizeof shown, from->output), missing->count,
                     from->tasks, missing->names, more, missing->first, from->tasks);
}

static lort_code read_one(const lort_curves_from *from, uint32_t task, lort_curve_fn *each,
                          void *ctx, bool *found, bool *touched, lort_error *err)
{
    bool other = false;
    lort_record record = {0};
    lort_curves_record curves;
    lort_code code = lort_curves_open(from, task, &record, &curves, found,
                                      task == from->task ? touched : &other, err);
    for (uint64_t i = 0; code == LORT_OK && *found && i < curves.count; i++)
        code = each(ctx, curves.first + i, curves.curves + i * curves.each, curves.each, err);
    lort_record_free(&record);
    return code;
}

lort_code lort_curves_read(const lort_curves_from *from, lort_curve_fn *each, void *ctx,
                           bool *touched, lort_error *err)
{
    missing_tasks missing = {.names = ""};
    lort_code code = LORT_OK;
    for (uint32_t t = 0; t < from->tasks && code == LORT_OK; t++) {
        bool found = false;
        code = read_one(from, t, each, ctx, &found, touched, err);
        if (code == LORT_OK && !found)
            add_missing(&missing, t);
    }
    return code == LORT_OK && missing.count ? refuse_missing(from, &missing, err) : code;
}
