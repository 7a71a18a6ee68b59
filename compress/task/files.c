/* files: see files.h. */
#include "compress/task/files.h"
#include <stdio.h>

lort_code lort_task_path(const char *output, lort_task_kind kind, uint32_t task, uint32_t tasks,
                         char out[LORT_TASK_NAME], lort_error *err)
{
    static const char *const words[] = {[LORT_TASK_PARTS] = "task", [LORT_TASK_CURVES] = "curves"};
    const int n = snprintf(out, LORT_TASK_NAME, "%s.%s-%u-of-%u", output, words[kind], task, tasks);
    return n > 0 && n < LORT_TASK_NAME
               ? LORT_OK
               : lort_fail(err, LORT_E_USAGE, "the path of the output is too long for tasks");
}

/* The view function of the source. */
static lort_code view_file(void *ctx, uint64_t offset, uint64_t n, lort_buffer *scratch,
                           const uint8_t **out, lort_error *err)
{
    const lort_task_file *f = ctx;
    *out = NULL;
    if (offset > f->size || n > f->size - offset)
        return lort_fail(
            err, LORT_E_DAMAGED, "it ends early (found %llu bytes, needed %llu at %llu)",
            (unsigned long long)f->size, (unsigned long long)n, (unsigned long long)offset);
    scratch->size = 0;
    lort_put_zeros(scratch, n ? n : 1);
    lort_code code = lort_buffer_check(scratch, err);
    if (code == LORT_OK)
        code = lort_os_read(f->file, scratch->data, n, offset, err);
    *out = scratch->data;
    return code;
}

lort_code lort_task_open(const char *path, const lort_alloc *alloc, lort_codec *codec,
                         lort_task_file *out, lort_error *err)
{
    lort_dir *dir = NULL;
    const char *name;
    lort_file_info info;
    bool exists;
    *out = (lort_task_file){.source = {view_file, out, alloc, codec}};
    lort_code code = lort_os_dir_of(path, &dir, &name, err);
    if (code == LORT_OK)
        code = lort_os_follow(dir, name, &info, &exists, err);
    if (code == LORT_OK && exists)
        code = lort_os_open(dir, name, &out->file, err);
    if (code == LORT_OK && exists)
        code = lort_os_info(out->file, &info, err);
    lort_os_dir_close(dir);
    if (code)
        lort_task_close(out);
    else if (exists)
        out->size = info.size;
    return code;
}

lort_code lort_task_read(const lort_task_file *file, lort_task_record *out, lort_error *err)
{
    lort_record record = {0};
    *out = (lort_task_record){0};
    if (file->size < LORT_HEADER_BYTES + LORT_TASK_BYTES)
        return lort_fail(err, LORT_E_DAMAGED, "it has %llu bytes, too few for a file of a task",
                         (unsigned long long)file->size);
    lort_code code = lort_record_read(&file->source, LORT_FRAME_TASK, file->size - LORT_TASK_BYTES,
                                      file->size, &record, err);
    if (code == LORT_OK)
        code = lort_task_record_get(record.body, record.bytes, out, err);
    lort_record_free(&record);
    if (code == LORT_OK && out->file_size != file->size)
        code = lort_fail(err, LORT_E_DAMAGED, "it has %llu bytes, and says that it has %llu",
                         (unsigned long long)file->size, (unsigned long long)out->file_size);
    return code;
}

void lort_task_close(lort_task_file *file)
{
    lort_os_close(file->file, NULL);
    file->file = NULL;
}

lort_code lort_task_look(const char *output, bool *exists, lort_error *err)
{
    lort_dir *dir = NULL;
    const char *name;
    lort_file_info info;
    *exists = false;
    lort_code code = lort_os_dir_of(output, &dir, &name, err);
    if (code == LORT_OK)
        code = lort_os_look(dir, name, &info, exists, err);
    lort_os_dir_close(dir);
    return code;
}
