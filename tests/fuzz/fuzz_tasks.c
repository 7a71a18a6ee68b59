/* Fuzz target: what tasks say to each other. The first byte says whether the rest is the body of a
 * TASK record, that of a CURVES record, or the text of two keys of half the bytes each. An accepted
 * body has one spelling. */
#include "compress/task/keys.h"
#include "formats/container/task.h"
#include "fuzz.h"

static void use_task(const uint8_t *body, uint64_t bytes)
{
    lort_task_record t;
    lort_error err = {0};
    lort_buffer out = {.alloc = &lort_alloc_heap};
    if (lort_task_record_get(body, bytes, &t, &err)) {
        CHECK(err.message[0]);
        return;
    }
    CHECK(t.task < t.tasks && t.first <= t.end && t.end <= t.extents);
    lort_task_record_put(&t, &out);
    CHECK(out.size == LORT_TASK_BODY && out.size == bytes && memcmp(out.data, body, out.size) == 0);
    lort_buffer_free(&out);
}

static void use_curves(const uint8_t *body, uint64_t bytes)
{
    lort_curves_record c;
    lort_error err = {0};
    lort_buffer out = {.alloc = &lort_alloc_heap};
    volatile uint8_t sum = 0;
    if (lort_curves_record_get(body, bytes, &c, &err)) {
        CHECK(err.message[0]);
        return;
    }
    CHECK(c.task < c.tasks && c.first + c.count >= c.first);
    for (uint64_t i = 0; i < c.count * c.each; i++)
        sum = (uint8_t)(sum ^ c.curves[i]);
    for (uint32_t i = 0; i < c.key_bytes; i++)
        sum = (uint8_t)(sum ^ (uint8_t)c.key[i]);
    lort_curves_record_put(&c, &out);
    CHECK(out.size == bytes && memcmp(out.data, body, out.size) == 0);
    lort_buffer_free(&out);
}

static void use_keys(const uint8_t *body, uint64_t bytes)
{
    const lort_key a = {(const char *)body, bytes / 2},
                   b = {(const char *)body + bytes / 2, bytes / 2};
    lort_error err = {0};
    lort_hash128 one, two;
    bool touched = false;
    const lort_code code = lort_key_compare("a file", a, b, true, &touched, &err);
    CHECK(code == LORT_OK || ((code == LORT_E_READ || code == LORT_E_USAGE) && err.message[0]));
    CHECK(lort_key_hash(a, &lort_alloc_heap, &one, NULL) == LORT_OK);
    CHECK(lort_key_hash(a, &lort_alloc_heap, &two, NULL) == LORT_OK);
    CHECK(memcmp(one.bytes, two.bytes, sizeof one.bytes) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const uses[])(const uint8_t *, uint64_t) = {use_task, use_curves, use_keys};
    if (size == 0)
        return 0;
    uses[data[0] % 3](data + 1, size - 1);
    return 0;
}
