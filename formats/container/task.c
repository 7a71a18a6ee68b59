/* task: see task.h. Layouts: docs/FORMAT.md, section 15. */
#include "formats/container/task.h"
#include "formats/container/body.h"
#include <math.h>

typedef unsigned long long ull;

static const uint8_t task_mark[8] = {'L', 'O', 'R', 'T', 'T', 'A', 'S', 'K'};
static const uint8_t curves_mark[8] = {'L', 'O', 'R', 'T', 'C', 'U', 'R', 'V'};

#define ZSTD_MOST 19
#define RESERVED_BYTES 20 /* zero; for later versions */

static void put_double(double value, lort_buffer *out)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    lort_put_u64(out, bits);
}

static double get_double(lort_cursor *c, const char *what)
{
    const uint64_t bits = lort_get_u64(c, what);
    double value;
    memcpy(&value, &bits, sizeof value);
    if (c->code == LORT_OK && !isfinite(value))
        lort_cursor_fail(c, "%s is not a finite number", what);
    return c->code ? 0 : value;
}

static void get_hash(lort_cursor *c, const char *what, lort_hash128 *out)
{
    const uint8_t *bytes = lort_get_bytes(c, sizeof out->bytes, what);
    if (bytes)
        memcpy(out->bytes, bytes, sizeof out->bytes);
}

void lort_task_record_put(const lort_task_record *task, lort_buffer *out)
{
    lort_put_bytes(out, task_mark, sizeof task_mark);
    lort_put_u32(out, task->task);
    lort_put_u32(out, task->tasks);
    lort_put_u64(out, task->first);
    lort_put_u64(out, task->end);
    lort_put_u64(out, task->extents);
    lort_put_bytes(out, task->key.bytes, sizeof task->key.bytes);
    lort_put_bytes(out, task->shares.bytes, sizeof task->shares.bytes);
    lort_put_bytes(out, task->parts.bytes, sizeof task->parts.bytes);
    lort_put_u64(out, task->size_limit);
    put_double(task->bpw_limit, out);
    lort_put_u64(out, task->reserve);
    lort_put_u64(out, task->elements);
    lort_put_u64(out, task->counted);
    put_double(task->fail_above, out);
    lort_put_u32(out, task->zstd_level);
    lort_put_u64(out, task->index_bytes);
    lort_put_u64(out, task->file_size);
    lort_put_zeros(out, RESERVED_BYTES);
}

static void check_zeros(lort_cursor *c, uint64_t n)
{
    const uint8_t *bytes = lort_get_bytes(c, n, "reserved bytes");
    for (uint64_t i = 0; bytes && i < n; i++)
        if (bytes[i] && c->code == LORT_OK)
            lort_cursor_fail(c, "reserved bytes are not zero");
}

/* The mark, and which task of how many. */
static void get_place(lort_cursor *c, const uint8_t mark[8], uint32_t *task, uint32_t *tasks)
{
    const uint8_t *found = lort_get_bytes(c, 8, "mark");
    if (found && memcmp(found, mark, 8) != 0)
        lort_cursor_fail(c, "the record of the task has another mark");
    *task = lort_get_u32(c, "task");
    *tasks = lort_get_u32(c, "tasks");
    if (c->code == LORT_OK && (*tasks == 0 || *tasks > LORT_TASK_COUNT_MOST || *task >= *tasks))
        lort_cursor_fail(c, "task %u of %u (allowed: below the second, which is at most %u)", *task,
                         *tasks, LORT_TASK_COUNT_MOST);
}

lort_code lort_task_record_get(const uint8_t *body, uint64_t bytes, lort_task_record *out,
                               lort_error *err)
{
    lort_cursor c = lort_body_cursor(body, bytes, err);
    *out = (lort_task_record){0};
    get_place(&c, task_mark, &out->task, &out->tasks);
    out->first = lort_get_u64(&c, "first extent");
    out->end = lort_get_u64(&c, "end of the run");
    out->extents = lort_get_u64(&c, "extents");
    get_hash(&c, "hash of the key", &out->key);
    get_hash(&c, "hash of the shares", &out->shares);
    get_hash(&c, "hash of the parts", &out->parts);
    out->size_limit = lort_get_u64(&c, "size limit");
    out->bpw_limit = get_double(&c, "limit of bits per weight");
    out->reserve = lort_get_u64(&c, "reserve");
    out->elements = lort_get_u64(&c, "elements");
    out->counted = lort_get_u64(&c, "counted bytes");
    out->fail_above = get_double(&c, "limit of the error");
    out->zstd_level = lort_get_u32(&c, "zstd level");
    out->index_bytes = lort_get_u64(&c, "bytes of the index");
    out->file_size = lort_get_u64(&c, "file size");
    check_zeros(&c, RESERVED_BYTES);
    if (c.code == LORT_OK && (out->first > out->end || out->end > out->extents))
        lort_cursor_fail(&c, "the run is [%llu, %llu) of %llu extents", (ull)out->first,
                         (ull)out->end, (ull)out->extents);
    if (c.code == LORT_OK && (out->zstd_level == 0 || out->zstd_level > ZSTD_MOST))
        lort_cursor_fail(&c, "zstd level %u (allowed: 1 to %u)", out->zstd_level, ZSTD_MOST);
    if (c.code == LORT_OK && out->bpw_limit < 0)
        lort_cursor_fail(&c, "the limit of bits per weight is %g (allowed: 0 and above)",
                         out->bpw_limit);
    if (c.code == LORT_OK && c.at != c.limit)
        lort_cursor_fail(&c, "%llu bytes follow the end of the record (allowed: 0)",
                         (ull)(c.limit - c.at));
    return lort_body_or_nothing(c.code, out, sizeof *out);
}

void lort_curves_record_put(const lort_curves_record *curves, lort_buffer *out)
{
    lort_put_bytes(out, curves_mark, sizeof curves_mark);
    lort_put_u32(out, curves->task);
    lort_put_u32(out, curves->tasks);
    lort_put_u64(out, curves->first);
    lort_put_u64(out, curves->count);
    lort_put_u32(out, curves->each);
    lort_put_u32(out, curves->key_bytes);
    lort_put_bytes(out, curves->key, curves->key_bytes);
    lort_put_bytes(out, curves->curves, curves->count * curves->each);
}

lort_code lort_curves_record_get(const uint8_t *body, uint64_t bytes, lort_curves_record *out,
                                 lort_error *err)
{
    lort_cursor c = lort_body_cursor(body, bytes, err);
    *out = (lort_curves_record){0};
    get_place(&c, curves_mark, &out->task, &out->tasks);
    out->first = lort_get_u64(&c, "first job");
    out->count = lort_get_u64(&c, "jobs");
    out->each = lort_get_u32(&c, "bytes of a curve");
    out->key_bytes = lort_get_u32(&c, "bytes of the key");
    out->key = (const char *)lort_get_bytes(&c, out->key_bytes, "key");
    if (c.code == LORT_OK && (out->each == 0 || out->each > LORT_CURVE_MOST))
        lort_cursor_fail(&c, "a curve has %u bytes (allowed: 1 to %u)", out->each, LORT_CURVE_MOST);
    if (c.code == LORT_OK)
        lort_body_count_fits(&c, out->count, out->each, "curves");
    if (c.code == LORT_OK && out->first > UINT64_MAX - out->count)
        lort_cursor_fail(&c, "the jobs end behind the last number");
    if (c.code == LORT_OK)
        out->curves = lort_get_bytes(&c, out->count * out->each, "curves");
    if (c.code == LORT_OK && c.at != c.limit)
        lort_cursor_fail(&c, "%llu bytes follow the end of the record (allowed: 0)",
                         (ull)(c.limit - c.at));
    return lort_body_or_nothing(c.code, out, sizeof *out);
}
