/* Fuzz target: covariance files. Every entry that is found has all its lines within the file, and
 * memory is in proportion to the file. Numbers are checked as compress does. */
#include "formats/activations/covariance.h"
#include "fuzz_header.h"
#include <math.h>

static void check_lines(const lort_covariance *e, const uint8_t *data, size_t size)
{
    float values[1024];
    const int64_t lines = lort_covariance_lines(e);
    for (int64_t m = 0; m < e->matrices && m < 2; m++)
        for (int64_t i = 0; i < lines; i += i < 64 ? 1 : lines - 1 - i > 1 ? lines - 1 - i : 1) {
            const lort_covariance_line line = lort_covariance_line_of(e, m, i);
            CHECK(line.offset <= size && line.bytes <= size - line.offset);
            CHECK(line.count > 0 && line.count <= e->inputs);
            if (line.count > 1024)
                continue;
            e->type->decode(data + line.offset, values, (uint64_t)line.count);
            if (lort_covariance_check_line(e, m, i, values, NULL) == LORT_OK)
                for (int64_t k = 0; k < line.count; k++)
                    CHECK(fabsf(values[k]) <= 1.001f);
        }
}

static void check_entry(const lort_covariances *set, const lort_covariance *e, const uint8_t *data,
                        size_t size)
{
    CHECK(e->inputs > 0 && e->matrices > 0 && e->name_bytes > 0 && e->name[e->name_bytes] == 0);
    CHECK(e->sums_at <= size && 4 * (uint64_t)(e->inputs * e->matrices) <= size - e->sums_at);
    CHECK(e->counts_at <= size && 4 * (uint64_t)e->matrices <= size - e->counts_at);
    CHECK(lort_covariances_find(set, e->name, e->name_bytes) == (e->form ? e : NULL));
    if (e->form)
        check_lines(e, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    allocations l = {0};
    lort_alloc alloc = {ledger_take, ledger_give, &l};
    lort_error err = {0};
    lort_covariances set;
    uint64_t wanted;
    lort_code code = lort_covariances_parse(data, size, size, &alloc, &set, &wanted, &err);
    CHECK(l.peak <= (1u << 20) + 64 * (uint64_t)size);
    if (code) {
        CHECK(set.count == 0);
        check_failed(code, &err, &l);
        return 0;
    }
    CHECK(set.count > 0 && set.known > 0);
    for (uint64_t i = 0; i < set.count; i++)
        check_entry(&set, &set.entries[i], data, size);
    lort_covariances_free(&set);
    CHECK(l.blocks == 0 && l.out == 0);
    return 0;
}
