/* files: restored files for a program, any range of their bytes. It owns the handle. */
#include "compress/delta/base.h"
#include "compress/files/layout.h"
#include "compress/files/ranges.h"
#include "compress/files/rows.h"
#include "compress/goal/given.h"
#include "compress/read/finite.h"
#include "compress/session/report.h"
#include "formats/container/part.h"
#include <string.h>

typedef unsigned long long ull;

struct lort_files {
    lort_report report;
    lort_reading reading; /* its host is entered while a call opens, reads or closes */
    lort_layout layout;
    lort_ranges ranges;
    lort_base *base;         /* NULL: none */
    const lort_part *tensor; /* options.tensor; NULL: none */
    char *tensor_name;       /* its name, with a NUL */
};

static const lort_archive *archive_of(const lort_files *f) { return f->reading.archive; }

/* ---- open and close ---- */

static uint64_t part_cost(const void *ctx, const lort_part *part, unsigned threads)
{
    const lort_files *f = ctx;
    const uint64_t rows = lort_rows_bytes(lort_part_matrices(part),
                                          lort_layout_type(&f->layout, part), threads),
                   finite = lort_finite_bytes(part);
    return (rows > finite ? rows : finite) + lort_ranges_part_cost(&f->layout, part);
}

static lort_code find_tensor(lort_files *f, const char *name, lort_error *err)
{
    char shown[200];
    void *memory;
    if (!name)
        return LORT_OK;
    const size_t bytes = strlen(name);
    f->tensor = lort_archive_find(archive_of(f), name, bytes);
    if (!f->tensor) {
        lort_fail(err, LORT_E_USAGE, "no tensor '%s' in the container: lort inspect lists them",
                  lort_escape_text(shown, sizeof shown, name));
        lort_error_tensor(err, name, bytes);
        return LORT_E_USAGE;
    }
    lort_code code = lort_take(&f->reading.session.alloc, bytes + 1, "a name", &memory, err);
    if (code == LORT_OK)
        f->tensor_name = memcpy(memory, name, bytes + 1);
    return code;
}

/* Checks the parts whose bytes new headers and texts replace. What lort_restore refuses is not read
 * here, even if these bytes are not needed. */
static lort_code check_replaced(lort_files *f, lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint32_t n = 0; n < lort_archive_model(archive_of(f))->file_count; n++) {
        const lort_out_file *file = &f->layout.files[n];
        for (uint64_t i = file->first;
             (file->retyped || file->text.size) && i < file->first + file->count; i++) {
            const lort_part *part = lort_archive_part(archive_of(f), i);
            if (!part->tensor)
                code = lort_reading_check_raw(&f->reading, part, err);
            if (code)
                return lort_reading_name_error(part, err);
        }
    }
    return LORT_OK;
}

static lort_code open_files(lort_files *f, const char *path, const lort_files_options *options,
                            lort_error *err)
{
    const lort_run_options run = {.size = sizeof run,
                                  .memory_bytes = options->memory_bytes,
                                  .threads = options->threads,
                                  .offline = options->offline};
    lort_code code =
        lort_reading_open(&f->reading, LORT_COMMAND_RESTORE, path, &run, NULL, &f->report, err);
    f->layout.reading = &f->reading;
    f->ranges.layout = &f->layout;
    if (code == LORT_OK)
        code = lort_layout_dtype(options->dtype, &f->layout.wanted, err);
    if (code == LORT_OK)
        code = find_tensor(f, options->tensor, err);
    if (code == LORT_OK)
        code =
            lort_base_attach(&f->reading.session, options->base, f->reading.archive, &f->base, err);
    if (code)
        return code;
    const uint64_t fixed = lort_layout_cost(&f->layout) +
                           lort_base_cost(f->base, f->reading.session.threads) +
                           lort_ranges_cost(archive_of(f));
    code = lort_reading_start(&f->reading, &run, fixed, part_cost, f, err);
    if (code == LORT_OK)
        code = lort_layout_open(&f->layout, err);
    return code ? code : check_replaced(f, err);
}

lort_code lort_files_open(const char *path, const lort_files_options *given, lort_files **out,
                          lort_error *err)
{
    lort_files_options options;
    lort_error unused;
    void *memory;
    err = err ? err : &unused; /* so that the code goes up */
    *out = NULL;
    lort_code code = lort_given_files(given, &options, err);
    if (code == LORT_OK)
        code =
            lort_take_zero(&lort_alloc_heap, sizeof(lort_files), "a handle of files", &memory, err);
    if (code)
        return code;
    lort_files *f = memory;
    code = open_files(f, path, &options, err);
    if (code == LORT_E_DAMAGED || code == LORT_E_READ)
        lort_error_file(err, path);
    lort_host_leave(&f->reading.session.host); /* lort_reading_open entered it */
    if (code)
        lort_files_close(f);
    else
        *out = f;
    return code;
}

void lort_files_close(lort_files *f)
{
    if (!f)
        return;
    if (f->reading.session.budget) {
        const lort_alloc *alloc = &f->reading.session.alloc;
        lort_host_enter(&f->reading.session.host); /* lort_reading_close leaves it */
        lort_ranges_close(&f->ranges);
        lort_layout_close(&f->layout);
        lort_base_close(f->base);
        if (f->tensor_name)
            lort_give(alloc, f->tensor_name, strlen(f->tensor_name) + 1);
    }
    lort_reading_close(&f->reading);
    lort_report_free(&f->report);
    lort_give(&lort_alloc_heap, f, sizeof *f);
}

/* ---- the files ---- */

uint64_t lort_files_count(const lort_files *f)
{
    return f->tensor ? 1 : lort_archive_model(archive_of(f))->file_count;
}

lort_code lort_files_info(const lort_files *f, uint64_t number, lort_file_entry *out,
                          lort_error *err)
{
    const lort_model_record *model = lort_archive_model(archive_of(f));
    *out = (lort_file_entry){0};
    if (number >= lort_files_count(f))
        return lort_fail(err, LORT_E_USAGE, "no file number %llu: there are %llu", (ull)number,
                         (ull)lort_files_count(f));
    if (f->tensor)
        *out = (lort_file_entry){.name = f->tensor_name,
                                 .bytes = lort_layout_part_bytes(&f->layout, f->tensor),
                                 .weights = true};
    else
        *out = (lort_file_entry){.name = model->files[number].name,
                                 .bytes = f->layout.files[number].size,
                                 .weights = model->files[number].role == LORT_ROLE_WEIGHTS};
    return LORT_OK;
}

/* ---- bytes ---- */

static lort_code read_piece(lort_files *f, const lort_layout_piece *piece, uint8_t *dst, uint64_t n,
                            lort_error *err)
{
    if (piece->part)
        return lort_ranges_read(&f->ranges, piece->part, piece->inside, dst, n, err);
    if (piece->bytes)
        memcpy(dst, piece->bytes, (size_t)n);
    else
        memset(dst, 0, (size_t)n);
    return LORT_OK;
}

static lort_code read_pieces(lort_files *f, uint32_t number, uint64_t at, uint8_t *dst, uint64_t n,
                             lort_error *err)
{
    lort_code code = LORT_OK;
    while (n > 0 && code == LORT_OK) {
        const lort_layout_piece piece = lort_layout_at(&f->layout, number, at);
        const uint64_t some = piece.count < n ? piece.count : n;
        code = read_piece(f, &piece, dst, some, err);
        dst += some;
        at += some;
        n -= some;
    }
    return code;
}

static lort_code name_file(const lort_files *f, const char *name, lort_code code, lort_error *err)
{
    char shown[200];
    if (code == LORT_E_DAMAGED || code == LORT_E_READ)
        lort_error_file(err, lort_archive_path(archive_of(f)));
    return code ? lort_error_prefix(err, "%s", lort_escape_text(shown, sizeof shown, name))
                : LORT_OK;
}

lort_code lort_files_read(lort_files *f, uint64_t number, uint64_t offset, void *buffer,
                          uint64_t bytes, lort_error *err)
{
    lort_file_entry entry;
    lort_error unused;
    char shown[200];
    err = err ? err : &unused; /* so that the code goes up */
    lort_code code = lort_files_info(f, number, &entry, err);
    if (code)
        return code;
    if (offset > entry.bytes || bytes > entry.bytes - offset)
        return lort_fail(err, LORT_E_USAGE, "%s: %llu bytes from byte %llu on: the file has %llu",
                         lort_escape_text(shown, sizeof shown, entry.name), (ull)bytes, (ull)offset,
                         (ull)entry.bytes);
    lort_host_enter(&f->reading.session.host);
    code = f->tensor ? lort_ranges_read(&f->ranges, f->tensor, offset, buffer, bytes, err)
                     : read_pieces(f, (uint32_t)number, offset, buffer, bytes, err);
    if (code == LORT_OK)
        code = lort_archive_unchanged(archive_of(f), err);
    if (code == LORT_OK)
        code = lort_base_unchanged(f->base, err);
    lort_host_leave(&f->reading.session.host);
    return name_file(f, entry.name, code, err);
}
