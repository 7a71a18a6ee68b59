/* covariance: see covariance.h. The file stays open. Every read is of one line of numbers, so a
 * file may be larger than memory. */
#include "compress/covariance/covariance.h"
#include "compress/math/blas.h"
#include "formats/base/text.h"
#include "loader/os/os.h"
#include <math.h>
#include <string.h>

#define HEAD_FIRST (256u << 10)         /* bytes of the header that are read first */
#define HEAD_MOST (UINT64_C(256) << 20) /* a header of more bytes is refused */

struct lort_covariance_file {
    lort_session *session;
    lort_file *file;
    lort_file_info info;
    lort_covariances set;
    char path[300]; /* escaped, for messages */
};

static lort_code name_file(const lort_covariance_file *f, lort_code code, lort_error *err)
{
    if (code == LORT_E_INPUT)
        lort_error_prefix(err, "%s", f->path);
    return code;
}

/* ---- opening ---- */

/* Parses a header of the first `bytes` bytes. *wanted: 0, or the bytes that it needs. */
static lort_code parse_head(lort_covariance_file *f, uint64_t bytes, uint64_t *wanted,
                            lort_error *err)
{
    void *head;
    lort_code code =
        lort_take(&f->session->alloc, bytes, "the header of a covariance file", &head, err);
    *wanted = 0;
    if (code)
        return code;
    code = lort_os_read(f->file, head, bytes, 0, err);
    if (code == LORT_OK)
        code = lort_covariances_parse(head, bytes, f->info.size, &f->session->alloc, &f->set,
                                      wanted, err);
    lort_give(&f->session->alloc, head, bytes);
    return code;
}

static lort_code read_head(lort_covariance_file *f, lort_error *err)
{
    uint64_t bytes = f->info.size < HEAD_FIRST ? f->info.size : HEAD_FIRST, wanted;
    lort_code code = parse_head(f, bytes, &wanted, err);
    while (code && wanted > bytes && bytes < f->info.size && wanted <= HEAD_MOST) {
        bytes = wanted > 2 * bytes ? wanted : 2 * bytes;
        bytes = bytes < f->info.size ? bytes : f->info.size;
        code = parse_head(f, bytes, &wanted, err);
    }
    return code;
}

static lort_code open_file(lort_covariance_file *f, const char *path, lort_error *err)
{
    lort_dir *dir = NULL;
    const char *name;
    lort_code code = lort_os_dir_of(path, &dir, &name, err);
    if (code == LORT_OK)
        code = lort_os_open(dir, name, &f->file, err);
    lort_os_dir_close(dir);
    if (code == LORT_OK)
        code = lort_os_info(f->file, &f->info, err);
    return code ? code : name_file(f, read_head(f, err), err);
}

lort_code lort_covariance_open(lort_session *session, const char *path, lort_covariance_file **out,
                               lort_error *err)
{
    void *memory;
    *out = NULL;
    lort_code code =
        lort_take_zero(&session->alloc, sizeof **out, "a covariance file", &memory, err);
    if (code)
        return code;
    lort_covariance_file *f = memory;
    f->session = session;
    lort_escape_text(f->path, sizeof f->path, path);
    code = open_file(f, path, err);
    if (code)
        lort_covariance_close(f);
    else
        *out = f;
    return lort_session_name_limit(session, path, code, err);
}

void lort_covariance_close(lort_covariance_file *file)
{
    if (!file)
        return;
    lort_covariances_free(&file->set);
    lort_os_close(file->file, NULL);
    lort_give(&file->session->alloc, file, sizeof *file);
}

const lort_alloc *lort_covariance_alloc(const lort_covariance_file *file)
{
    return &file->session->alloc;
}

const lort_covariances *lort_covariance_entries(const lort_covariance_file *file)
{
    return &file->set;
}

/* ---- reading ---- */

static lort_code check_unchanged(const lort_covariance_file *f, lort_error *err)
{
    lort_file_info now;
    lort_code code = lort_os_info(f->file, &now, err);
    if (code == LORT_OK && (now.size != f->info.size || now.mtime_ns != f->info.mtime_ns))
        code = lort_fail(err, LORT_E_READ, "%s: changed while it was read", f->path);
    return code;
}

/* Reads `count` numbers of a type to f32, in place at the end of `to`, and hashes their bytes.
 * A number has at most the bytes of an f32. */
static lort_code read_numbers(const lort_covariance_file *f, uint64_t offset, int64_t count,
                              const lort_dtype_info *type, float *to, lort_hasher *hasher,
                              lort_error *err)
{
    enum { RUN = 256 };
    uint8_t bytes[4 * RUN];
    const uint64_t each = type->block_bytes;
    for (int64_t i = 0; i < count; i += RUN) {
        const uint64_t n = (uint64_t)(count - i < RUN ? count - i : RUN);
        lort_code code = lort_os_read(f->file, bytes, n * each, offset + (uint64_t)i * each, err);
        if (code)
            return code;
        if (hasher)
            lort_hasher_add(hasher, bytes, n * each);
        type->decode(bytes, to + i, n);
    }
    return LORT_OK;
}

/* Reads and checks one line of correlations. */
static lort_code read_line(const lort_covariance_file *f, const lort_covariance *entry,
                           int64_t matrix, int64_t line, float *row, lort_hasher *hasher,
                           lort_error *err)
{
    const lort_covariance_line at = lort_covariance_line_of(entry, matrix, line);
    lort_code code = read_numbers(f, at.offset, at.count, entry->type, row, hasher, err);
    if (code == LORT_OK)
        code = name_file(f, lort_covariance_check_line(entry, matrix, line, row, err), err);
    return code;
}

static lort_code read_sums(const lort_covariance_file *f, const lort_covariance *entry,
                           int64_t matrix, float *row, float *count, lort_hasher *hasher,
                           lort_error *err)
{
    const lort_dtype_info *type = lort_dtype_get(LORT_F32);
    lort_code code = read_numbers(f, entry->sums_at + 4 * (uint64_t)(matrix * entry->inputs),
                                  entry->inputs, type, row, hasher, err);
    if (code == LORT_OK)
        code =
            read_numbers(f, entry->counts_at + 4 * (uint64_t)matrix, 1, type, count, hasher, err);
    if (code == LORT_OK)
        code = name_file(f, lort_covariance_check_sums(entry, matrix, row, *count, err), err);
    return code;
}

lort_code lort_covariance_squares(lort_covariance_file *file, const lort_covariance *entry,
                                  int64_t matrix, float *row, lort_input_squares *squares,
                                  lort_error *err)
{
    float count;
    double sum = 0;
    lort_code code = check_unchanged(file, err);
    if (code == LORT_OK)
        code = read_sums(file, entry, matrix, row, &count, NULL, err);
    if (code)
        return code;
    for (int64_t i = 0; i < entry->inputs; i++) {
        squares->of[i] = count > 0 ? (double)row[i] / (double)count : 0;
        sum += squares->of[i];
    }
    squares->mean = isfinite(sum) ? sum / (double)entry->inputs : 0;
    return LORT_OK;
}

/* c = F F' + diag(1 - sum of f^2) */
static lort_code read_factor(const lort_covariance_file *f, const lort_covariance *entry,
                             int64_t first, int64_t n, float *row, float *factor, float *h,
                             lort_error *err)
{
    for (int64_t r = 0; r < entry->rank; r++) {
        lort_code code = read_line(f, entry, 0, r, row, NULL, err);
        if (code)
            return code;
        memcpy(factor + r * n, row + first, (size_t)n * sizeof *row);
    }
    lort_sgemm(true, false, n, n, entry->rank, 1, factor, n, factor, n, 0, h, n);
    for (int64_t i = 0; i < n; i++)
        h[i * n + i] = 1;
    return LORT_OK;
}

lort_code lort_covariance_read(lort_covariance_file *file, const lort_covariance *entry,
                               int64_t matrix, int64_t first, int64_t n, float *row, float *factor,
                               float *h, lort_error *err)
{
    matrix = entry->matrices == 1 ? 0 : matrix;
    if (entry->form == LORT_COVARIANCE_FACTOR)
        return read_factor(file, entry, first, n, row, factor, h, err);
    for (int64_t i = 0; i < n; i++) {
        lort_code code = read_line(file, entry, matrix, first + i, row, NULL, err);
        if (code)
            return code;
        for (int64_t j = 0; j < i; j++)
            h[i * n + j] = h[j * n + i] = row[first + j];
        h[i * n + i] = 1;
    }
    return lort_session_check_stop(file->session, err);
}

/* ---- checking ---- */

/* shares: of the FACTOR form, room for [inputs]. */
static lort_code verify_matrix(const lort_covariance_file *f, const lort_covariance *entry,
                               int64_t matrix, float *row, float *shares, lort_hasher *hasher,
                               lort_error *err)
{
    float count;
    const bool factor = entry->form == LORT_COVARIANCE_FACTOR;
    lort_code code = read_sums(f, entry, matrix, row, &count, hasher, err);
    memset(shares, 0, (size_t)entry->inputs * sizeof *shares);
    for (int64_t line = 0; line < lort_covariance_lines(entry) && code == LORT_OK; line++) {
        code = read_line(f, entry, matrix, line, row, hasher, err);
        for (int64_t i = 0; code == LORT_OK && factor && i < entry->inputs; i++)
            shares[i] += row[i] * row[i];
        if (code == LORT_OK && line % 64 == 0)
            code = lort_session_check_stop(f->session, err);
    }
    if (code == LORT_OK && factor)
        code = name_file(f, lort_covariance_check_shares(entry, shares, err), err);
    return code;
}

lort_code lort_covariance_verify(lort_covariance_file *file, const lort_covariance *entry,
                                 lort_hasher *hasher, lort_error *err)
{
    const lort_alloc *alloc = &file->session->alloc;
    const uint64_t bytes = 2 * (uint64_t)entry->inputs * sizeof(float);
    void *row;
    lort_code code = lort_take(alloc, bytes, "a row of a covariance", &row, err);
    if (code)
        return code;
    code = check_unchanged(file, err);
    for (int64_t m = 0; m < entry->matrices && code == LORT_OK; m++)
        code = verify_matrix(file, entry, m, row, (float *)row + entry->inputs, hasher, err);
    lort_give(alloc, row, bytes);
    return code;
}
