/* Fuzz target: models of several files. They are an index.json and its shards, splits of GGUF, and
 * side files. No crash, and memory is in proportion to the files. The extents of an accepted model
 * tile every file. Each tensor is where its file says, and LoRT finds it by its name. LoRT reads
 * the bytes that the files hold.
 *
 * Input: a byte that says how the model is named, and runs (fuzz_input.h). A byte before each run
 * says which file it is. */
#define _GNU_SOURCE
#include "formats/base/bytes.h"
#include "formats/base/text.h"
#include "fuzz_dir.h"
#include "fuzz_header.h"
#include "fuzz_input.h"
#include "loader/model/model.h"

static const char *const names[] = {"model.safetensors.index.json",
                                    "model-00001-of-00002.safetensors",
                                    "model-00002-of-00002.safetensors",
                                    "m-00001-of-00002.gguf",
                                    "m-00002-of-00002.gguf",
                                    "config.json",
                                    "model.safetensors",
                                    "m.gguf"};
enum { NAMES = sizeof names / sizeof *names };

typedef struct files {
    input content[NAMES];
    bool there[NAMES];
    uint64_t bytes;
} files;

static void warn(void *ctx, const char *text)
{
    (void)ctx;
    CHECK(text[0] && lort_utf8_valid(text, strlen(text)));
}

static const input *content_of(const files *f, const char *name)
{
    for (int i = 0; i < NAMES; i++)
        if (f->there[i] && strcmp(names[i], name) == 0)
            return &f->content[i];
    CHECK(!"a file that is not there");
    return NULL;
}

static void check_extent(lort_model *model, const lort_extent *extent, uint64_t number,
                         const files *f)
{
    const uint64_t tensor = lort_model_extent_tensor(model, number);
    const uint8_t *view;
    const input *content = content_of(f, lort_model_get_file(model, extent->file)->name);
    CHECK(extent->tensor == (tensor != UINT64_MAX) && (extent->tensor || extent->bytes > 0));
    if (extent->tensor) {
        const lort_tensor *t = &lort_model_index(model)->tensors[tensor];
        CHECK(t->file == extent->file && t->offset == extent->offset && t->bytes == extent->bytes);
        CHECK(lort_index_find(lort_model_index(model), t->name, t->name_bytes) == t);
    }
    CHECK(extent->offset <= content->left && extent->bytes <= content->left - extent->offset);
    CHECK(lort_model_view(model, extent->file, extent->offset, extent->bytes, NULL, &view, NULL) ==
          LORT_OK);
    CHECK(extent->bytes == 0 || memcmp(view, content->at + extent->offset, extent->bytes) == 0);
}

static void check_model(lort_model *model, const files *f)
{
    uint64_t count, bytes = 0, at = 0, tensors = 0;
    const lort_extent *extents = lort_model_extents(model, &count);
    uint32_t file = 0;
    for (uint64_t i = 0; i < count; i++) {
        for (; file < extents[i].file; file++, at = 0)
            CHECK(at == lort_model_get_file(model, file)->size);
        CHECK(extents[i].file == file && extents[i].offset == at);
        check_extent(model, &extents[i], i, f);
        at += extents[i].bytes;
        tensors += extents[i].tensor;
    }
    for (; file < lort_model_file_count(model); file++, at = 0)
        CHECK(at == lort_model_get_file(model, file)->size);
    for (uint32_t i = 0; i < lort_model_file_count(model); i++) {
        const lort_model_file *one = lort_model_get_file(model, i);
        CHECK(one->size == content_of(f, one->name)->left);
        bytes += one->size;
    }
    CHECK(bytes == lort_model_bytes(model) && tensors == lort_model_index(model)->count);
    CHECK(lort_model_unchanged(model, NULL) == LORT_OK);
}

static void check_path(const char *path, const files *f)
{
    allocations l = {0};
    const lort_alloc alloc = {ledger_take, ledger_give, &l};
    lort_model *model;
    lort_error err = {0};
    const lort_code code = lort_model_open(path, &alloc, warn, NULL, &model, &err);
    CHECK(l.peak <= (1u << 20) + 128 * f->bytes);
    CHECK((code == LORT_OK) == (model != NULL));
    CHECK(code == LORT_OK || ((code == LORT_E_INPUT || code == LORT_E_USAGE) && err.message[0] &&
                              lort_utf8_valid(err.message, strlen(err.message))));
    if (model) {
        check_model(model, f);
        lort_model_close(model);
    }
    CHECK(l.out == 0 && l.blocks == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    files f = {.bytes = size};
    const unsigned how = input_u8(&in);
    while (in.left) {
        const unsigned number = input_u8(&in) % NAMES;
        f.content[number] = input_run(&in);
        f.there[number] = true;
        fuzz_write(names[number], f.content[number].at, f.content[number].left);
    }
    check_path(fuzz_dir_path(), &f);
    check_path(fuzz_path(names[how % NAMES]), &f);
    for (int i = 0; i < NAMES; i++)
        if (f.there[i])
            fuzz_unlink(names[i]);
    return 0;
}
