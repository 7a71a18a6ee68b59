/* model: the shapes of a model, refusals with their words, and inputs that change during a run. */
#define _DEFAULT_SOURCE /* mincore */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/base/bytes.h"
#include "loader/model/model.h"
#include "tests/unit/main.h"
#include "tests/unit/tiny_model.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define MOST_SHARDS 60
#define MAPPINGS 4096 /* as many as lort_os_map allows at once */

static char dir[32];
static char said[4000]; /* warnings, one a line */
static lort_error err;

static int set_up(void **state)
{
    tiny_dir(dir);
    said[0] = '\0';
    return 0;
}

static int tear_down(void **state)
{
    tiny_remove(dir);
    return 0;
}

static void hear(void *ctx, const char *text)
{
    size_t at = strlen(said);
    snprintf(said + at, sizeof said - at, "%s\n", text);
}

/* ---- models ---- */

static const tiny_tensor two[] = {TINY("a", "F32", 4, 6), TINY("b", "F16", 8)};
static const tiny_tensor other[] = {TINY("c", "BF16", 2, 4)};

/* Gives "x-00001-of-00003.gguf". */
static const char *shard_name(unsigned number, unsigned count, const char *ending)
{
    static char names[8][64];
    static unsigned turn;
    char *name = names[turn++ % 8];
    snprintf(name, sizeof names[0], "x-%05u-of-%05u%s", number, count, ending);
    return name;
}

/* Writes shards with one tensor each, t<number>, and their index.json. */
static void write_shards(unsigned count)
{
    static char tensors[MOST_SHARDS][16], files[MOST_SHARDS][64];
    const char *pairs[2 * MOST_SHARDS + 1] = {NULL};
    for (unsigned i = 0; i < count; i++) {
        snprintf(tensors[i], sizeof tensors[i], "t%u", i + 1);
        strcpy(files[i], shard_name(i + 1, count, ".safetensors"));
        pairs[2 * i] = tensors[i];
        pairs[2 * i + 1] = files[i];
        tiny_safetensors(dir, files[i], &(tiny_tensor)TINY(tensors[i], "F32", 3, 5), 1);
    }
    tiny_index(dir, "model.safetensors.index.json", pairs);
}

static void write_split_shard(unsigned number, const tiny_split *split)
{
    char tensor[16];
    snprintf(tensor, sizeof tensor, "t%u", number);
    tiny_gguf(dir, shard_name(number, 3, ".gguf"), &(tiny_tensor)TINY(tensor, "F32", 3, 5), 1,
              split);
}

static void write_split(void)
{
    for (unsigned i = 1; i <= 3; i++)
        write_split_shard(i, &(tiny_split){i - 1, 3, 3, NULL});
}

static const char *path_of(const char *name) { return name[0] ? tiny_path(dir, name) : dir; }

static lort_model *open_model(const char *name)
{
    lort_model *model;
    lort_code code = lort_model_open(path_of(name), &lort_alloc_heap, hear, NULL, &model, &err);
    if (code)
        fail_msg("%s: %s", name, err.message);
    return model;
}

static void assert_refused(const char *name, lort_code code, const char *words)
{
    lort_model *model = (lort_model *)dir;
    assert_int_equal(lort_model_open(path_of(name), &lort_alloc_heap, hear, NULL, &model, &err),
                     code);
    assert_null(model);
    assert_int_equal(err.code, code);
    tiny_says(err.message, words);
}

/* Extents tile every file in order, and views give the files' own bytes. */
static void check_extent(lort_model *model, uint64_t number, const uint8_t *want)
{
    uint64_t count, tensor = lort_model_extent_tensor(model, number);
    const lort_extent *extent = &lort_model_extents(model, &count)[number];
    const uint8_t *view;
    void *scratch = malloc(extent->bytes + 1);
    assert_int_equal(extent->tensor, tensor != UINT64_MAX);
    if (extent->tensor) {
        const lort_tensor *t = &lort_model_index(model)->tensors[tensor];
        assert_true(t->file == extent->file && t->offset == extent->offset &&
                    t->bytes == extent->bytes);
    }
    assert_int_equal(
        lort_model_view(model, extent->file, extent->offset, extent->bytes, scratch, &view, &err),
        LORT_OK);
    assert_memory_equal(view, want, extent->bytes);
    assert_int_equal(lort_model_check(model, extent->file, &err), LORT_OK);
    free(scratch);
}

static void check_content(lort_model *model)
{
    uint64_t count, i = 0, tensors = 0, bytes = 0;
    const lort_extent *extents = lort_model_extents(model, &count);
    for (uint32_t f = 0; f < lort_model_file_count(model); f++) {
        const lort_model_file *file = lort_model_get_file(model, f);
        uint8_t *want = malloc(file->size + 1);
        uint64_t at = 0;
        FILE *in = fopen(tiny_path(dir, file->name), "rb");
        assert_non_null(in);
        assert_int_equal(fread(want, 1, file->size + 1, in), file->size);
        fclose(in);
        for (; i < count && extents[i].file == f; at += extents[i++].bytes) {
            assert_int_equal(extents[i].offset, at);
            check_extent(model, i, want + at);
            tensors += extents[i].tensor;
        }
        assert_int_equal(at, file->size);
        bytes += file->size;
        free(want);
    }
    assert_int_equal(i, count);
    assert_int_equal(tensors, lort_model_index(model)->count);
    assert_int_equal(bytes, lort_model_bytes(model));
}

static void check_and_close(const char *name, uint32_t files, uint64_t tensors, bool directory,
                            const char *format)
{
    lort_model *model = open_model(name);
    assert_int_equal(lort_model_file_count(model), files);
    assert_int_equal(lort_model_index(model)->count, tensors);
    assert_int_equal(lort_model_directory(model), directory);
    assert_string_equal(lort_model_format(model), format);
    assert_false(lort_model_unmapped(model));
    check_content(model);
    assert_int_equal(lort_model_unchanged(model, &err), LORT_OK);
    lort_model_close(model);
}

/* ---- shapes ---- */

static void a_single_file_is_told_by_its_content(void **state)
{
    tiny_safetensors(dir, "m.safetensors", two, 2);
    tiny_safetensors(dir, "weights.bin", two, 2);
    tiny_gguf(dir, "m.gguf", two, 2, NULL);
    tiny_gguf(dir, "odd.safetensors", two, 2, NULL);
    check_and_close("m.safetensors", 1, 2, false, "safetensors");
    check_and_close("weights.bin", 1, 2, false, "safetensors");
    check_and_close("m.gguf", 1, 2, false, "gguf");
    check_and_close("odd.safetensors", 1, 2, false, "gguf");
    assert_string_equal(said, "");
}

static void a_directory_has_its_side_files(void **state)
{
    static const char guess[] = "\x10\0\0\0\0\0\0\0 could be a header of 16 bytes";
    tiny_safetensors(dir, "model.safetensors", two, 2);
    tiny_text(dir, "config.json", "{}");
    tiny_text(dir, "empty.txt", "");
    tiny_text(dir, "pytorch_model.bin.index.json", "{\"weight_map\":{\"a\":\"x.bin\"}}");
    tiny_text(dir, ".hidden", "x");
    tiny_text(dir, ".gitattributes", "*.bin binary");
    tiny_write(dir, "merges.bin", guess, sizeof guess);
    check_and_close("", 5, 2, true, "safetensors");
    tiny_says(said, "left out: copies of the weights in other frameworks: "
                    "pytorch_model.bin.index.json (28 B); --side-files all takes them");
    tiny_says(said, "left out: hidden files: .hidden (1 B)");
    said[0] = '\0';
    check_and_close("model.safetensors", 1, 2, false, "safetensors");
    tiny_says(said, "side files are not taken: config.json, empty.txt, merges.bin; name");
}

static void what_is_left_out_is_said(void **state)
{
    tiny_safetensors(dir, "model.safetensors", two, 2);
    tiny_index(dir, "model.safetensors.index.json",
               (const char *[]){"a", "model.safetensors", "b", "model.safetensors", NULL});
    tiny_safetensors(dir, "spare.safetensors", two, 2);
    tiny_text(dir, "large.bin", "x");
    assert_int_equal(truncate(tiny_path(dir, "large.bin"), LORT_SIDE_FILE_MAX + 1), 0);
    assert_int_equal(mkdir(tiny_path(dir, "onnx"), 0700), 0);
    check_and_close("", 2, 2, true, "safetensors");
    tiny_says(said, "left out: other forms of the weights: spare.safetensors");
    tiny_says(said, "LoRT takes model.safetensors.index.json");
    tiny_says(said, "left out: large.bin: 67108865 bytes");
}

static void names_that_no_model_has_are_left_out(void **state)
{
    tiny_safetensors(dir, "model.safetensors", two, 2);
    tiny_text(dir, "config.json", "{}");
    assert_int_equal(mkfifo(tiny_path(dir, "pipe"), 0600), 0);
    tiny_text(dir, "new\nline", "x");
    check_and_close("", 2, 2, true, "safetensors");
    tiny_says(said, "left out: pipe: a FIFO");
    tiny_says(said, "left out: new\\x0Aline");
}

static void shards_are_found_by_their_index(void **state)
{
    write_shards(3);
    tiny_text(dir, "config.json", "{}");
    check_and_close("", 5, 3, true, "safetensors");
    check_and_close("model.safetensors.index.json", 5, 3, true, "safetensors");
    assert_string_equal(said, "");
}

static void shards_are_found_by_their_numbers(void **state)
{
    write_shards(3);
    assert_int_equal(unlink(tiny_path(dir, "model.safetensors.index.json")), 0);
    check_and_close("", 3, 3, true, "safetensors");
    for (unsigned i = 1; i <= 3; i++)
        check_and_close(shard_name(i, 3, ".safetensors"), 3, 3, true, "safetensors");
    tiny_safetensors(dir, "y-00001-of-00001.safetensors", two, 2);
    check_and_close("y-00001-of-00001.safetensors", 1, 2, false, "safetensors");
    assert_string_equal(said, "");
}

static void what_lacks_of_a_set_is_named(void **state)
{
    static const char asks[] = "2 of 3 shards are missing: x-00001-of-00003.safetensors, "
                               "x-00002-of-00003.safetensors; is the download complete?";
    write_shards(3);
    assert_int_equal(unlink(tiny_path(dir, shard_name(1, 3, ".safetensors"))), 0);
    assert_int_equal(unlink(tiny_path(dir, shard_name(2, 3, ".safetensors"))), 0);
    assert_refused("", LORT_E_INPUT, asks);
    tiny_says(err.message, "model.safetensors.index.json: 2 of 3");
    assert_int_equal(unlink(tiny_path(dir, "model.safetensors.index.json")), 0);
    assert_refused("", LORT_E_INPUT, asks);
    assert_refused(shard_name(3, 3, ".safetensors"), LORT_E_INPUT, asks);
    tiny_says(err.message, dir);
    tiny_safetensors(dir, "m-1-of-2.safetensors", two, 2);
    tiny_safetensors(dir, "m-2-of-2.safetensors", other, 1);
    assert_refused("", LORT_E_INPUT, asks);
    tiny_says(err.message, "m-1-of-2.safetensors to m-2-of-2.safetensors");
    check_and_close("m-2-of-2.safetensors", 2, 3, true, "safetensors");
}

static void a_split_is_found_by_any_of_its_shards(void **state)
{
    write_split();
    check_and_close("", 3, 3, true, "gguf");
    for (unsigned i = 1; i <= 3; i++) {
        lort_model *model = open_model(shard_name(i, 3, ".gguf"));
        for (uint32_t f = 0; f < 3; f++)
            assert_string_equal(lort_model_get_file(model, f)->name, shard_name(f + 1, 3, ".gguf"));
        lort_model_close(model);
    }
    tiny_text(dir, "README.md", "a model");
    check_and_close("", 4, 3, true, "gguf");
    check_and_close(shard_name(2, 3, ".gguf"), 3, 3, true, "gguf");
    assert_string_equal(said, "");
}

static void links_lead_to_the_model(void **state)
{
    char target[64];
    lort_file_info info;
    bool exists;
    assert_int_equal(mkdir(tiny_path(dir, "blobs"), 0700), 0);
    tiny_safetensors(dir, "blobs/0a1b", two, 2);
    assert_int_equal(mkdir(tiny_path(dir, "snapshot"), 0700), 0);
    assert_int_equal(symlink("../blobs/0a1b", tiny_path(dir, "snapshot/model.safetensors")), 0);
    assert_int_equal(symlink("snapshot", tiny_path(dir, "latest")), 0);
    assert_int_equal(link(tiny_path(dir, "blobs/0a1b"), tiny_path(dir, "hard")), 0);
    snprintf(target, sizeof target, "%s", tiny_path(dir, "latest"));
    lort_model *model = open_model("latest");
    assert_int_equal(lort_model_file_count(model), 1);
    assert_int_equal(lort_model_index(model)->count, 2);
    assert_string_equal(lort_model_get_file(model, 0)->name, "model.safetensors");
    assert_int_equal(lort_model_unchanged(model, &err), LORT_OK);
    assert_int_equal(lort_os_stat(tiny_path(dir, "hard"), &info, &exists, &err), LORT_OK);
    assert_true(exists && lort_model_owns(model, &info));
    assert_int_equal(lort_os_stat(target, &info, &exists, &err), LORT_OK);
    assert_false(lort_model_owns(model, &info));
    lort_model_close(model);
    assert_int_equal(unlink(tiny_path(dir, "blobs/0a1b")), 0);
    assert_int_equal(unlink(tiny_path(dir, "hard")), 0);
    /* A link that leads nowhere is no reason to leave weights out. */
    assert_refused("latest", LORT_E_INPUT, "model.safetensors");
}

static void outputs_get_no_more_rights_than_all_inputs(void **state)
{
    static const struct {
        mode_t a, b;
        uint32_t want;
    } cases[] = {{0644, 0644, 0644}, {0755, 0755, 0644}, {0640, 0604, 0600}, {0444, 0444, 0644}};
    tiny_safetensors(dir, "model.safetensors", two, 2);
    tiny_text(dir, "config.json", "{}");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(chmod(tiny_path(dir, "model.safetensors"), cases[i].a), 0);
        assert_int_equal(chmod(tiny_path(dir, "config.json"), cases[i].b), 0);
        lort_model *model = open_model("");
        assert_int_equal(lort_model_mode_bits(model), cases[i].want);
        lort_model_close(model);
    }
}

static void a_model_without_tensors_is_a_model(void **state)
{
    tiny_safetensors(dir, "none.safetensors", NULL, 0);
    tiny_gguf(dir, "none.gguf", NULL, 0, NULL);
    check_and_close("none.safetensors", 1, 0, false, "safetensors");
    check_and_close("none.gguf", 1, 0, false, "gguf");
}

/* ---- refusals ---- */

static void several_models_are_for_the_user_to_settle(void **state)
{
    assert_refused("", LORT_E_INPUT, "no .gguf, .safetensors or index.json");
    assert_refused("missing", LORT_E_INPUT, "no such file");
    tiny_gguf(dir, "a.gguf", two, 2, NULL);
    tiny_gguf(dir, "b.gguf", other, 1, NULL);
    assert_refused("", LORT_E_USAGE, "a.gguf, b.gguf");
    tiny_safetensors(dir, "a.safetensors", two, 2);
    tiny_safetensors(dir, "b.safetensors", two, 2);
    assert_refused("", LORT_E_USAGE, "a.safetensors, b.safetensors");
    tiny_index(dir, "a.index.json", (const char *[]){"a", "a.safetensors", NULL});
    tiny_index(dir, "b.index.json", (const char *[]){"a", "b.safetensors", NULL});
    assert_refused("", LORT_E_USAGE, "a.index.json, b.index.json");
}

static void two_splits_are_two_models(void **state)
{
    write_split();
    tiny_gguf(dir, "x-00001-of-00002.gguf", two, 2, NULL);
    assert_refused("", LORT_E_USAGE, "x-00001-of-00002.gguf");
    assert_int_equal(unlink(tiny_path(dir, "x-00001-of-00002.gguf")), 0);
    tiny_gguf(dir, "y-00001-of-00003.gguf", two, 2, NULL);
    assert_refused("", LORT_E_USAGE, "y-00001-of-00003.gguf");
}

static void broken_files_that_claim_to_be_weights_are_refused(void **state)
{
    tiny_text(dir, "config.json", "{}");
    tiny_text(dir, "model.safetensors", "no weights at all");
    assert_refused("", LORT_E_INPUT, "model.safetensors");
    assert_int_equal(unlink(tiny_path(dir, "model.safetensors")), 0);
    tiny_text(dir, "model.gguf", "");
    assert_refused("", LORT_E_INPUT, "model.gguf");
    assert_int_equal(unlink(tiny_path(dir, "model.gguf")), 0);
    assert_int_equal(mkdir(tiny_path(dir, "model.gguf"), 0700), 0);
    assert_refused("", LORT_E_INPUT, "is a directory");
    assert_int_equal(rmdir(tiny_path(dir, "model.gguf")), 0);
}

static void a_fifo_is_no_weight_file(void **state)
{
    tiny_text(dir, "config.json", "{}");
    assert_int_equal(mkfifo(tiny_path(dir, "model.gguf"), 0600), 0);
    assert_refused("", LORT_E_INPUT, "only regular files");
}

static void an_index_must_fit_its_shards(void **state)
{
    static const char name[] = "model.safetensors.index.json";
    tiny_safetensors(dir, "1.safetensors", two, 2);
    tiny_safetensors(dir, "2.safetensors", other, 1);
    tiny_index(dir, name,
               (const char *[]){"a", "1.safetensors", "b", "1.safetensors", "c", "1.safetensors",
                                "d", "2.safetensors", NULL});
    check_and_close(name, 3, 3, true, "safetensors");
    tiny_says(said, "index.json: weight_map gives the wrong shard for 1 tensors: c");
    tiny_says(said, "index.json: weight_map names 1 tensors that no shard has: d");
    said[0] = '\0';
    tiny_index(dir, name, (const char *[]){"a", "3.safetensors", NULL});
    assert_refused(name, LORT_E_INPUT, "1 of 1 shards are missing: 3.safetensors");
    tiny_index(dir, name, (const char *[]){"a", "../1.safetensors", NULL});
    assert_refused(name, LORT_E_INPUT, name);
    tiny_text(dir, name, "{\"weight_map\":{\"a\":\"1.safetensors\"");
    assert_refused("", LORT_E_INPUT, name);
    tiny_text(dir, name,
              "{\"metadata\":{\"total_size\":1},\"weight_map\":{\"a\":\"1.safetensors\",\"c\":\"2."
              "safetensors\"}}");
    check_and_close(name, 3, 3, true, "safetensors");
    tiny_says(said,
              "index.json: 1 tensors of the shards are not in weight_map; LoRT includes them: b");
    tiny_says(said,
              "model.safetensors.index.json: metadata.total_size is 1, the tensors have 128 bytes");
}

static void a_tensor_in_two_shards_is_refused(void **state)
{
    static const tiny_tensor both[] = {TINY("d", "F32", 3), TINY("a", "F32", 3)};
    tiny_safetensors(dir, "1.safetensors", two, 2);
    tiny_safetensors(dir, "2.safetensors", both, 2);
    tiny_index(dir, "i.index.json",
               (const char *[]){"a", "1.safetensors", "d", "2.safetensors", NULL});
    assert_refused("i.index.json", LORT_E_INPUT,
                   "tensor 'a' stands in two shards, 1.safetensors and 2.safetensors");
}

static void a_split_must_be_whole_and_of_one_model(void **state)
{
    const char *second = shard_name(2, 3, ".gguf");
    write_split();
    assert_int_equal(unlink(tiny_path(dir, second)), 0);
    assert_refused(shard_name(3, 3, ".gguf"), LORT_E_INPUT, "1 of 3 shards are missing");
    assert_refused("", LORT_E_INPUT, second);
    write_split_shard(2, &(tiny_split){0, 3, 3, NULL}); /* the first one again */
    assert_refused("", LORT_E_INPUT, "its name says shard 2 of 3, its split.* keys say 1 of 3");
    write_split_shard(2, NULL);
    assert_refused("", LORT_E_INPUT, "its split.* keys say 1 of 1");
    write_split_shard(2, &(tiny_split){1, 3, 4, NULL});
    assert_refused("", LORT_E_INPUT, "split.tensors.count is 4, in the first shard it is 3");
    write_split_shard(2, &(tiny_split){1, 3, 3, "ll\nama"});
    assert_refused("", LORT_E_INPUT, "architecture 'll\\x0Aama' differs");
    tiny_gguf(dir, second, &(tiny_tensor)TINY("t1", "F32", 5), 1, &(tiny_split){1, 3, 3, NULL});
    assert_refused("", LORT_E_INPUT, "tensor 't1' stands in two shards");
    tiny_gguf(dir, second, NULL, 0, &(tiny_split){1, 3, 3, NULL});
    assert_refused("", LORT_E_INPUT,
                   "-00001-of-00003.gguf: split.tensors.count is 3, the shards hold 2 tensors");
    tiny_gguf(dir, "renamed.gguf", two, 2, &(tiny_split){1, 3, 3, NULL});
    assert_refused("renamed.gguf", LORT_E_INPUT,
                   "is shard 2 of 3, but its name is not PREFIX-00002-of-00003.gguf");
}

/* ---- changed inputs ---- */

static void touch(const char *path)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void grow(const char *path)
{
    FILE *out = fopen(path, "ab");
    assert_non_null(out);
    fputs("more", out);
    fclose(out);
}

static void shrink(const char *path) { assert_int_equal(truncate(path, 20), 0); }

/* Another file of the same name, content and time. */
static void replace(const char *path)
{
    char copy[700], command[1500];
    snprintf(copy, sizeof copy, "%s.copy", path);
    snprintf(command, sizeof command, "cp -p '%s' '%s'", path, copy);
    assert_int_equal(system(command), 0);
    assert_int_equal(rename(copy, path), 0);
}

/* Wine keeps the name of a removed file while somebody has the file open, unlike Linux and new
 * versions of Windows. So the file gets another name first. */
static void take_away(const char *path)
{
    char aside[700];
    snprintf(aside, sizeof aside, "%s.aside", path);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(unlink(aside), 0);
}

static void put_pipe(const char *path)
{
    take_away(path);
    assert_int_equal(mkfifo(path, 0600), 0);
}

#if defined(_WIN32)
#define IS_GONE "ile not found"
#else
#define IS_GONE "No such file"
#endif

/* put_pipe must be the last. */
static const struct change {
    void (*make)(const char *path);
    const char *words;
} changes[] = {{touch, "was modified"},   {grow, "grew"},       {shrink, "shrank"},
               {replace, "was replaced"}, {take_away, IS_GONE}, {put_pipe, "only regular files"}};
enum { CHANGES = sizeof changes / sizeof *changes };

static void make_changes(int from, int to)
{
    for (int i = from; i < to; i++) {
        write_shards(3);
        lort_model *model = open_model("");
        assert_int_equal(lort_model_unchanged(model, &err), LORT_OK);
        changes[i].make(tiny_path(dir, shard_name(2, 3, ".safetensors")));
        assert_int_equal(lort_model_unchanged(model, &err), LORT_E_READ);
        assert_int_equal(err.code, LORT_E_READ);
        tiny_says(err.message, shard_name(2, 3, ".safetensors"));
        tiny_says(err.message, changes[i].words);
        assert_int_equal(lort_model_load(model, &lort_alloc_heap, NULL, &err), LORT_E_READ);
        lort_model_close(model);
        unlink(tiny_path(dir, shard_name(2, 3, ".safetensors")));
    }
}

static void every_change_is_a_read_error(void **state) { make_changes(0, CHANGES - 1); }

static void a_file_that_became_a_fifo_is_a_read_error(void **state)
{
    make_changes(CHANGES - 1, CHANGES);
}

static void a_view_of_a_file_that_shrank_is_void(void **state)
{
    const uint8_t *view;
    tiny_safetensors(dir, "m.safetensors", two, 2);
    lort_model *model = open_model("m.safetensors");
    assert_int_equal(lort_model_view(model, 0, 0, 1, NULL, &view, &err), LORT_OK);
    assert_int_equal(truncate(tiny_path(dir, "m.safetensors"), 0), 0);
    assert_int_equal(*(const volatile uint8_t *)view, 0);
    assert_int_equal(lort_model_check(model, 0, &err), LORT_E_READ);
    tiny_says(err.message, "m.safetensors");
    lort_model_close(model);
}

/* ---- full mode ---- */

static void a_loaded_model_needs_its_files_no_more(void **state)
{
    tiny_failing failing;
    tiny_failing_start(&failing, -1);
    write_shards(3);
    tiny_text(dir, "empty", "");
    lort_model *model = open_model("");
    assert_int_equal(lort_model_load(model, &failing.alloc, NULL, &err), LORT_OK);
    assert_int_equal(failing.live, 4);
    assert_true(lort_model_load_bytes(model) >= (uint64_t)failing.bytes);
    check_content(model);
    assert_int_equal(truncate(tiny_path(dir, shard_name(1, 3, ".safetensors")), 0), 0);
    const uint8_t *view;
    assert_int_equal(lort_model_view(model, 1, 8, 1, NULL, &view, &err), LORT_OK);
    assert_int_equal(*view, '{');
    assert_int_equal(lort_model_check(model, 1, &err), LORT_OK);
    lort_model_prefetch(model, 1, 0, UINT64_MAX);
    lort_model_release(model, 1, 0, UINT64_MAX);
    assert_int_equal(*view, '{');
    lort_model_close(model);
    assert_int_equal(failing.live, 0);
}

static void loading_without_memory_leaves_the_views(void **state)
{
    write_shards(3);
    for (int64_t n = 0; n < 4; n++) {
        tiny_failing failing;
        tiny_failing_start(&failing, n);
        lort_model *model = open_model("");
        assert_int_equal(lort_model_load(model, &failing.alloc, NULL, &err), LORT_E_MEMORY);
        check_content(model);
        lort_model_close(model);
        assert_int_equal(failing.live, 0);
        assert_int_equal(failing.bytes, 0);
    }
}

/* ---- files that cannot be mapped, and few descriptors ---- */

static lort_map *maps[MAPPINGS];
static int map_count;

/* LoRT can map no file from here on. */
static void use_up_mappings(void)
{
    lort_dir *place;
    lort_file *file;
    tiny_text(dir, ".filler", "x");
    assert_int_equal(lort_os_dir_open(dir, &place, &err), LORT_OK);
    assert_int_equal(lort_os_open(place, ".filler", &file, &err), LORT_OK);
    map_count = 0;
    while (map_count < MAPPINGS && lort_os_map(file, 1, &maps[map_count], &err) == LORT_OK)
        map_count++;
    assert_int_equal(map_count, MAPPINGS);
    lort_os_close(file, NULL);
    lort_os_dir_close(place);
}

static int give_mappings_back(void **state)
{
    while (map_count > 0)
        lort_os_unmap(maps[--map_count]);
    return tear_down(state);
}

static void what_cannot_be_mapped_is_read(void **state)
{
    write_shards(7);
    use_up_mappings();
    lort_model *model = open_model("");
    assert_true(lort_model_unmapped(model));
    assert_int_equal(lort_model_index(model)->count, 7);
    check_content(model);
    lort_model_prefetch(model, 0, 0, 100);
    lort_model_release(model, 0, 0, 100);
    assert_int_equal(lort_model_load(model, &lort_alloc_heap, NULL, &err), LORT_OK);
    assert_false(lort_model_unmapped(model));
    check_content(model);
    lort_model_close(model);
}

/* The header is longer than the first piece that LoRT reads. */
static void a_long_header_is_read_whole(void **state)
{
    enum { COUNT = 3000 };
    static char names[COUNT][48];
    static tiny_tensor tensors[COUNT];
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "model.layers.%d.self_attn.q_proj", i);
        tensors[i] = (tiny_tensor){names[i], "F32", 1, {2}, NULL};
    }
    tiny_safetensors(dir, "m.safetensors", tensors, COUNT);
    tiny_gguf(dir, "m.gguf", tensors, COUNT, NULL);
    use_up_mappings();
    static const char *const files[] = {"m.safetensors", "m.gguf"};
    for (int i = 0; i < 2; i++) {
        lort_model *model = open_model(files[i]);
        assert_int_equal(lort_model_index(model)->count, COUNT);
        assert_true(lort_model_get_file(model, 0)->header.header_bytes > 128 << 10);
        check_content(model);
        lort_model_close(model);
    }
}

static void change_closed_files(int from, int to)
{
    for (int i = from; i < to; i++) {
        uint8_t scratch[64];
        const uint8_t *view = scratch;
        write_shards(7);
        use_up_mappings();
        lort_model *model = open_model("model.safetensors.index.json");
        changes[i].make(tiny_path(dir, shard_name(7, 7, ".safetensors")));
        assert_int_equal(lort_model_view(model, 7, 0, sizeof scratch, scratch, &view, &err),
                         LORT_E_READ);
        assert_null(view);
        tiny_says(err.message, changes[i].words);
        assert_int_equal(lort_model_view(model, 6, 0, sizeof scratch, scratch, &view, &err),
                         LORT_OK);
        lort_model_close(model);
        unlink(tiny_path(dir, shard_name(7, 7, ".safetensors")));
        while (map_count > 0)
            lort_os_unmap(maps[--map_count]);
    }
}

static void a_closed_file_must_be_the_same_when_it_is_read_again(void **state)
{
    change_closed_files(0, CHANGES - 1);
}

static void a_closed_file_may_become_a_fifo(void **state)
{
    change_closed_files(CHANGES - 1, CHANGES);
}

static void sixty_shards_within_sixteen_descriptors(void **state)
{
    struct rlimit was, few;
    write_shards(MOST_SHARDS);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    few = was;
    few.rlim_cur = 16;
    for (int unmapped = 0; unmapped < 2; unmapped++) {
        if (unmapped)
            use_up_mappings();
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        lort_model *model = open_model("");
        assert_int_equal(lort_model_unmapped(model), unmapped);
        assert_int_equal(lort_model_file_count(model), MOST_SHARDS + 1);
        check_content(model);
        assert_int_equal(lort_model_unchanged(model, &err), LORT_OK);
        assert_int_equal(lort_model_load(model, &lort_alloc_heap, NULL, &err), LORT_OK);
        check_content(model);
        lort_model_close(model);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    }
}

/* ---- memory ---- */

/* Refuses the first allocation, then the second, ... until the model opens. Returns their
 * number. */
static int64_t refuse_each_allocation(const char *name)
{
    for (int64_t n = 0;; n++) {
        tiny_failing failing;
        lort_model *model = (lort_model *)dir;
        tiny_failing_start(&failing, n);
        lort_code code = lort_model_open(path_of(name), &failing.alloc, NULL, NULL, &model, &err);
        if (code == LORT_OK)
            lort_model_close(model);
        else
            assert_null(model);
        assert_int_equal(failing.live, 0);
        assert_int_equal(failing.bytes, 0);
        if (code == LORT_OK)
            return n;
        assert_int_equal(code, LORT_E_MEMORY);
    }
}

static void every_allocation_may_fail(void **state)
{
    write_shards(3);
    tiny_text(dir, "config.json", "{}");
    assert_true(refuse_each_allocation("") > 5);
    assert_true(refuse_each_allocation(shard_name(1, 3, ".safetensors")) > 3);
    tiny_gguf(dir, "m.gguf", two, 2, NULL);
    assert_true(refuse_each_allocation("m.gguf") > 3);
    write_split();
    assert_true(refuse_each_allocation(shard_name(1, 3, ".gguf")) > 5);
    use_up_mappings();
    assert_true(refuse_each_allocation("model.safetensors.index.json") > 5);
    assert_true(refuse_each_allocation(shard_name(1, 3, ".gguf")) > 5);
}

/* ---- reading ahead ---- */

#define LARGE (48u << 20)

/* Two shards with one tensor of holes each. The kernel caches pages of holes like any others, and
 * nobody has read these yet. */
static lort_model *open_large(void)
{
    static const char head[] =
        "{\"%s\":{\"dtype\":\"U8\",\"shape\":[%u],\"data_offsets\":[0,%u]}}      ";
    const char *pairs[] = {"a", shard_name(1, 2, ".safetensors"), "b",
                           shard_name(2, 2, ".safetensors"), NULL};
    for (int i = 0; i < 2; i++) {
        uint8_t text[200] = {0};
        lort_store_u64(text, (uint64_t)snprintf((char *)text + 8, sizeof text - 8, head,
                                                pairs[2 * i], LARGE, LARGE));
        tiny_write(dir, pairs[2 * i + 1], text, 8 + lort_load_u64(text));
        assert_int_equal(
            truncate(tiny_path(dir, pairs[2 * i + 1]), (off_t)(8 + lort_load_u64(text) + LARGE)),
            0);
    }
    tiny_index(dir, "model.safetensors.index.json", pairs);
    return open_model("");
}

/* Share of [from, from + n) of the tensor that is in the page cache, in per cent. */
static unsigned cached(lort_model *model, unsigned number, uint64_t from, uint64_t n)
{
    static unsigned char pages[LARGE / 4096 + 1];
    const lort_tensor *tensor = &lort_model_index(model)->tensors[number];
    const uint8_t *view;
    uint64_t count = 0, page = (uint64_t)sysconf(_SC_PAGESIZE);
    assert_int_equal(
        lort_model_view(model, tensor->file, tensor->offset + from, n, NULL, &view, &err), LORT_OK);
    const uint8_t *start = view - (uintptr_t)view % page;
    assert_int_equal(mincore((void *)(uintptr_t)start, n, pages), 0);
    for (uint64_t i = 0; i < n / page; i++)
        count += pages[i] & 1;
    return (unsigned)(100 * count / (n / page));
}

static void ask(lort_model *model, unsigned number, uint64_t n)
{
    const lort_tensor *tensor = &lort_model_index(model)->tensors[number];
    lort_model_prefetch(model, tensor->file, tensor->offset, n);
}

/* Waits up to half a minute, since a thread reads. */
static bool comes(lort_model *model, unsigned number, uint64_t n)
{
    for (int i = 0; i < 3000; i++) {
        if (cached(model, number, 0, n) >= 99)
            return true;
        usleep(10000);
    }
    return false;
}

static void what_comes_next_is_read_whole(void **state)
{
    lort_model *model = open_large();
    assert_true(cached(model, 1, LARGE / 2, LARGE / 2) < 10);
    ask(model, 0, LARGE);
    ask(model, 1, LARGE);
    assert_true(comes(model, 0, LARGE) && comes(model, 1, LARGE));
    lort_model_close(model);
}

static void a_small_range_is_followed_by_what_is_behind_it(void **state)
{
    lort_model *model = open_large();
    ask(model, 0, 1);
    assert_true(comes(model, 0, LORT_AHEAD_LEAST - (1u << 20)));
    lort_model_close(model);
}

static void reading_ahead_keeps_to_its_limit(void **state)
{
    lort_model *model = open_large();
    lort_model_ahead_limit(model, LARGE / 6);
    ask(model, 0, LARGE);
    ask(model, 1, LARGE); /* reading begins when the first range is done */
    assert_true(comes(model, 0, LARGE / 6 - (1u << 20)) && comes(model, 1, LARGE / 6 - (1u << 20)));
    assert_true(cached(model, 0, LARGE / 2, LARGE / 2) < 10);
    lort_model_close(model); /* ends a thread that waits */
    model = open_large();
    ask(model, 0, LARGE);
    lort_model_close(model); /* ends a thread that reads */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define TEST_UNMAPPED(f) cmocka_unit_test_setup_teardown(f, set_up, give_mappings_back)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_single_file_is_told_by_its_content),
        TEST(a_directory_has_its_side_files),
        TEST(what_is_left_out_is_said),
        TEST(names_that_no_model_has_are_left_out),
        TEST(shards_are_found_by_their_index),
        TEST(shards_are_found_by_their_numbers),
        TEST(what_lacks_of_a_set_is_named),
        TEST(a_split_is_found_by_any_of_its_shards),
        TEST(links_lead_to_the_model),
        TEST(outputs_get_no_more_rights_than_all_inputs),
        TEST(a_model_without_tensors_is_a_model),
        TEST(several_models_are_for_the_user_to_settle),
        TEST(two_splits_are_two_models),
        TEST(broken_files_that_claim_to_be_weights_are_refused),
        TEST(a_fifo_is_no_weight_file),
        TEST(an_index_must_fit_its_shards),
        TEST(a_tensor_in_two_shards_is_refused),
        TEST(a_split_must_be_whole_and_of_one_model),
        TEST(every_change_is_a_read_error),
        TEST(a_file_that_became_a_fifo_is_a_read_error),
        TEST(a_view_of_a_file_that_shrank_is_void),
        TEST(a_loaded_model_needs_its_files_no_more),
        TEST(loading_without_memory_leaves_the_views),
        TEST(what_comes_next_is_read_whole),
        TEST(a_small_range_is_followed_by_what_is_behind_it),
        TEST(reading_ahead_keeps_to_its_limit),
        TEST_UNMAPPED(what_cannot_be_mapped_is_read),
        TEST_UNMAPPED(a_long_header_is_read_whole),
        TEST_UNMAPPED(a_closed_file_must_be_the_same_when_it_is_read_again),
        TEST_UNMAPPED(a_closed_file_may_become_a_fifo),
        TEST_UNMAPPED(sixty_shards_within_sixteen_descriptors),
        TEST_UNMAPPED(every_allocation_may_fail),
    };
    return run_chosen(tests, NULL, NULL);
}
