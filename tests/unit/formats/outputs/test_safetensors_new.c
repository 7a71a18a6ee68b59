/* A new safetensors header is one that LoRT reads, whatever the names are. */
#include "formats/inputs/format.h"
#include "formats/inputs/header.h"
#include "formats/outputs/safetensors_new.h"
#include "tests/unit/main.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static lort_tensor tensor(const char *name, lort_dtype type, const int64_t *dims, uint32_t n_dims)
{
    lort_tensor t = {.name = name,
                     .name_bytes = (uint32_t)strlen(name),
                     .n_dims = n_dims,
                     .dims = dims,
                     .type = lort_dtype_get(type),
                     .elements = 1};
    for (uint32_t i = 0; i < n_dims; i++)
        t.elements *= (uint64_t)dims[i];
    lort_dtype_bytes(t.type, t.elements, &t.bytes);
    return t;
}

static void a_header_reads_back(void **state)
{
    const int64_t dims[] = {3, 5, 0};
    const lort_tensor tensors[] = {tensor("a \"quoted\\\" name\n\x01", LORT_F16, dims, 2),
                                   tensor("b\xc3\xa4", LORT_F32, dims + 1, 1),
                                   tensor("", LORT_BF16, dims, 0)};
    lort_buffer out = {.alloc = &lort_alloc_heap};
    lort_header header;
    lort_error err = {0};
    uint64_t offsets[3], size, wanted;
    assert_int_equal(lort_safetensors_make(tensors, 3, &out, offsets, &size, &err), LORT_OK);
    assert_int_equal(out.size % 8, 0);
    assert_int_equal(size, out.size + 30 + 20 + 2);
    lort_put_zeros(&out, size - out.size);
    assert_int_equal(
        lort_header_parse(out.data, size, size, &lort_alloc_heap, &header, &wanted, &err), LORT_OK);
    assert_int_equal(header.index.count, 3);
    for (int i = 0; i < 3; i++) {
        const lort_tensor *t = &header.index.tensors[i];
        assert_string_equal(t->name, tensors[i].name);
        assert_int_equal(t->offset, offsets[i]);
        assert_int_equal(t->type->id, tensors[i].type->id);
        assert_int_equal(t->n_dims, tensors[i].n_dims);
        assert_int_equal(t->bytes, tensors[i].bytes);
    }
    lort_header_free(&header);
    lort_buffer_free(&out);
}

static void a_type_of_ggml_is_refused(void **state)
{
    const int64_t dims[] = {32};
    const lort_tensor t = tensor("a", LORT_Q8_0, dims, 1);
    lort_buffer out = {.alloc = &lort_alloc_heap};
    lort_error err = {0};
    uint64_t offset, size;
    assert_int_equal(lort_safetensors_make(&t, 1, &out, &offset, &size, &err), LORT_E_USAGE);
    assert_non_null(strstr(err.message, "Q8_0"));
    lort_buffer_free(&out);
}

static void bytes_that_are_no_text_are_escaped(void **state)
{
    lort_buffer out = {.alloc = &lort_alloc_heap};
    lort_put_json_text(&out, "a\xff");
    assert_int_equal(out.size, 8);
    assert_memory_equal(out.data, "\"a\\\\xFF\"", 8);
    lort_buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_reads_back),
        cmocka_unit_test(a_type_of_ggml_is_refused),
        cmocka_unit_test(bytes_that_are_no_text_are_escaped),
    };
    return run_chosen(tests, NULL, NULL);
}
