/* Fuzz target: the commands that read a container, verify, inspect, compare and restore, whole. No
 * crash. LoRT restores a container that verifies, if its numbers fit the type and its header names
 * its tensors. Such a container compares equal to itself. Kept parts come back as their original
 * bytes. A failure leaves nothing behind.
 *
 * Input: a byte that says how the container is made, the tensor to restore, and the rest. The
 * payload is taken as it stands or as its decoded content (fuzz_sealed.h). */
#define _GNU_SOURCE
#include "compress/lort.h"
#include "compress/read/encoding.h"
#include "formats/base/bytes.h"
#include "formats/container/part.h"
#include "fuzz_dir.h"
#include "fuzz_sealed.h"
#include "tests/unit/sized.h"
#include <dirent.h>

#define OUT_MOST (1u << 20) /* of all tensors, in f32 */
#define SLICES_MOST 4096

static lort_codec *codec;
static const lort_run_options alone = {RUN_SIZE, .memory_bytes = UINT64_C(1) << 30, .threads = 1};

static void check_error(lort_code code, const lort_error *err)
{
    CHECK(code == LORT_OK || (err->code == code && err->message[0] &&
                              lort_utf8_valid(err->message, strlen(err->message))));
}

static lort_code run_verify(const char *path)
{
    lort_report report = {0};
    lort_error err = {0};
    const lort_code code =
        lort_verify(path, &(lort_verify_options){VERIFY_SIZE, .run = &alone}, NULL, &report, &err);
    check_error(code, &err);
    CHECK(code == LORT_OK || code == LORT_E_DAMAGED);
    lort_report_free(&report);
    return code;
}

static void run_inspect(const char *path, const sealed *s)
{
    lort_report report = {0};
    lort_error err = {0};
    uint64_t tensors = 0;
    const lort_code code = lort_inspect(path, &alone, NULL, &report, &err);
    check_error(code, &err);
    CHECK((code == LORT_OK) == s->names_differ);
    for (uint32_t i = 0; i < s->count; i++)
        tensors += s->parts[i].part.tensor;
    CHECK(code || report.tensor_count == tensors);
    lort_report_free(&report);
}

/* Compares the container with itself: only values that are not numbers may differ. */
static void run_compare(const char *path, lort_code verified)
{
    lort_report report = {0};
    lort_error err = {0};
    const lort_code code = lort_compare(path, path, -1, &alone, NULL, &report, &err);
    check_error(code, &err);
    CHECK(code == LORT_OK || code == LORT_E_NUMERIC ||
          (code == LORT_E_DAMAGED && verified == LORT_E_DAMAGED));
    for (uint64_t i = 0; i < report.tensor_count && code == LORT_OK; i++)
        CHECK(!(report.tensors[i].rel_error > 0));
    lort_report_free(&report);
}

static unsigned names_left(void)
{
    unsigned n = 0;
    DIR *d = opendir(fuzz_dir_path());
    CHECK(d);
    for (const struct dirent *entry; (entry = readdir(d)) != NULL;)
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(d);
    return n;
}

/* Checks the bytes of kept parts, as long as nothing before them changes its type. */
static void check_output(const sealed *s, const char *path, bool tensor)
{
    FILE *in = fopen(path, "rb");
    CHECK(in);
    for (uint32_t i = 0; i < s->count && !s->literal && !tensor; i++) {
        const lort_part *part = &s->parts[i].part;
        uint8_t *bytes = malloc(part->source_bytes + 1);
        CHECK(bytes && fread(bytes, 1, part->source_bytes, in) == part->source_bytes);
        CHECK(!lort_part_is_raw(part) ||
              memcmp(bytes, s->parts[i].content, part->source_bytes) == 0);
        free(bytes);
    }
    fclose(in);
}

static bool same_types(const sealed *s, const char *dtype)
{
    for (uint32_t i = 0; i < s->count; i++) {
        const lort_dtype_info *type = lort_dtype_get((uint32_t)s->parts[i].part.dtype);
        if (!lort_part_is_raw(&s->parts[i].part) &&
            (dtype ? strcmp(type->name, dtype) != 0 : !lort_dtype_encoder(type->id)))
            return false;
    }
    return true;
}

static void run_restore(const char *path, const sealed *s, const char *dtype, const char *tensor,
                        lort_code verified)
{
    char from[600], to[600];
    lort_report report = {0};
    lort_error err = {0};
    const lort_restore_options options = {RESTORE_SIZE, .run = &alone, .dtype = dtype,
                                          .tensor = tensor};
    strcpy(from, path);
    strcpy(to, fuzz_path("out"));
    const lort_code code = lort_restore(from, to, &options, NULL, &report, &err);
    const bool kept = tensor || same_types(s, dtype);
    check_error(code, &err);
    CHECK(verified == LORT_OK || code != LORT_OK || tensor);
    CHECK(code == LORT_OK || code == LORT_E_DAMAGED || code == LORT_E_NUMERIC ||
          (code == LORT_E_INPUT && !kept) || (code == LORT_E_USAGE && (tensor || !kept)));
    CHECK(verified || !kept || code == LORT_OK || code == LORT_E_NUMERIC ||
          (tensor && code == LORT_E_USAGE));
    CHECK(names_left() == (code == LORT_OK ? 2 : 1));
    if (code == LORT_OK) {
        if (kept)
            check_output(s, to, tensor != NULL);
        CHECK(unlink(to) == 0);
    }
    lort_report_free(&report);
}

/* Returns true if the container is quick to process. */
static bool is_small(const sealed *s)
{
    uint64_t elements = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const uint64_t n = lort_part_elements(&s->parts[i].part);
        if (n > OUT_MOST / sizeof(float) || s->parts[i].part.slices > SLICES_MOST)
            return false;
        elements += n;
    }
    return elements <= OUT_MOST / sizeof(float);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {NULL, "F32", "F16", "BF16"}, *const formats[] = {
                                                                         "safetensors", "gguf",
                                                                         "bytes"};
    input in = {data, size};
    const unsigned how = input_u8(&in), what = input_u8(&in);
    const char *tensor = NULL;
    sealed s;
    if (!codec) /* and a machine whose topology is quick to find */
        CHECK(lort_codec_open(1, &codec, NULL) == LORT_OK &&
              setenv("HWLOC_SYNTHETIC", "core:1 pu:1", 1) == 0);
    sealed_make(&s, in, how & 1, formats[(how >> 1) % 3], codec);
    const char *path = fuzz_write("a.lort", s.file.data, s.file.size);
    char file[600];
    strcpy(file, path);
    for (uint32_t i = 0; i < s.count && what & 4 && !tensor; i++)
        tensor = s.parts[i].part.tensor ? s.parts[i].part.name : NULL;
    run_inspect(file, &s);
    if (is_small(&s)) {
        const lort_code verified = run_verify(file);
        run_compare(file, verified);
        run_restore(file, &s, types[what & 3], tensor, verified);
    }
    fuzz_unlink("a.lort");
    sealed_free(&s);
    return 0;
}
