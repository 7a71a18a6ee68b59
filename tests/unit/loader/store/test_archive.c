#define _DEFAULT_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/base/bytes.h"
#include "loader/store/archive.h"
#include "tests/unit/container_fixture.h"
#include "tests/unit/main.h"
#include "tests/unit/sanitized.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/lort-archive-XXXXXX", path[64];
static fixture fix;

static int set_up(void **state)
{
    (void)state;
    fixture_build(&fix);
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/a.lort", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_free(&fix);
    unlink(path);
    return rmdir(dir);
}

static void write_file(const void *bytes, uint64_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Opens the file and decodes every chunk. If `check` is set, compares all raw bytes with their
 * source. */
static lort_code read_everything(const lort_alloc *alloc, bool check, lort_error *err)
{
    static uint8_t scratch[4096], dst[4096];
    lort_archive *a;
    lort_codec *codec;
    lort_code code = lort_archive_open(path, alloc, &a, err);
    if (code) {
        assert_null(a);
        return code;
    }
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    for (uint64_t i = 0; i < lort_archive_count(a) && code == LORT_OK; i++) {
        const lort_part *part = lort_archive_part(a, i);
        for (uint64_t k = 0; k < part->chunk_count && code == LORT_OK; k++) {
            assert_true(part->chunks[k].decoded <= sizeof dst);
            code = lort_archive_chunk(a, part, k, codec, scratch, dst, err);
            if (code || !check || part->chunks[k].array >> 24 != LORT_ARRAY_RAW)
                continue;
            const lort_dtype_info *type = lort_dtype_get((uint32_t)part->dtype);
            uint64_t at = part->chunks[k].first / type->block_elements * type->block_bytes;
            at += (part->chunks[k].array & 0xffffff) * (part->source_bytes / part->slices);
            assert_memory_equal(dst, fix.source[i] + at, part->chunks[k].decoded);
        }
        lort_archive_release(a, part);
    }
    lort_codec_close(codec);
    lort_archive_close(a);
    return code;
}

static void opens_and_reads_all(void **state)
{
    (void)state;
    lort_error err = {0};
    lort_archive *a;
    uint64_t first, count;
    write_file(fix.file.data, fix.file.size);
    if (read_everything(&lort_alloc_heap, true, &err))
        fail_msg("%s", err.message);
    assert_int_equal(lort_archive_open(path, &lort_alloc_heap, &a, &err), LORT_OK);
    assert_string_equal(lort_archive_path(a), path);
    assert_int_equal(lort_archive_size(a), fix.file.size);
    assert_int_equal(lort_archive_head(a)->major, 1);
    assert_int_equal(lort_archive_count(a), FIXTURE_PARTS);
    assert_string_equal(lort_archive_model(a)->options, "rank=2 min-dim=1");
    assert_int_equal(lort_archive_model(a)->extents[3].offset, 100 + 80 + 240);
    assert_memory_equal(lort_archive_index(a)->model.bytes, fix.index.model.bytes, 16);
    assert_null(lort_archive_part(a, FIXTURE_PARTS));
    assert_null(lort_archive_find(a, "norm", 4));
    assert_null(lort_archive_find(a, "", 0));
    const lort_part *experts = lort_archive_find(a, "experts.weight", 14);
    assert_ptr_equal(experts, lort_archive_part(a, 2));
    lort_part_array(experts, LORT_ARRAY_LEFT, 1, &first, &count);
    assert_int_equal(first, 2);
    assert_int_equal(count, 1);
    lort_part_array(experts, LORT_ARRAY_RAW, 1, &first, &count);
    assert_int_equal(count, 0);
    lort_part_array(lort_archive_part(a, 1), LORT_ARRAY_RAW, 0, &first, &count);
    assert_int_equal(first, 0);
    assert_int_equal(count, 3);
    lort_archive_close(a);
}

/* The stored forms of 0.25 (i*7%11 - 5) and 0.5 (i*5%7 - 3) must come back, through planes and
 * BF16. */
static void factors_come_back(void **state)
{
    (void)state;
    uint8_t scratch[256], dst[256];
    float values[8];
    lort_archive *a;
    lort_codec *codec;
    write_file(fix.file.data, fix.file.size);
    assert_int_equal(lort_archive_open(path, &lort_alloc_heap, &a, NULL), LORT_OK);
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    assert_int_equal(lort_archive_chunk(a, lort_archive_part(a, 2), 2, codec, scratch, dst, NULL),
                     LORT_OK);
    lort_load_bf16(dst, values, 6);
    for (int i = 0; i < 6; i++)
        assert_true(values[i] == 0.25f * (float)(i * 7 % 11 - 5));
    assert_int_equal(lort_archive_chunk(a, lort_archive_part(a, 2), 3, codec, scratch, dst, NULL),
                     LORT_OK);
    lort_load_f16(dst, values, 5);
    for (int i = 0; i < 5; i++)
        assert_true(values[i] == 0.5f * (float)(i * 5 % 7 - 3));
    lort_codec_close(codec);
    lort_archive_close(a);
}

/* Wine takes 20 ms to open a file. So there the loops over all bytes take one in so many. */
#if defined(_WIN32)
#define EVERY 61
#else
#define EVERY 1
#endif

static void every_flipped_bit_is_found(void **state)
{
    (void)state;
    write_file(fix.file.data, fix.file.size);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    for (uint64_t at = 0; at < fix.file.size; at += EVERY) {
        for (int bit = 0; bit < 8; bit++) {
            uint8_t damaged = (uint8_t)(fix.file.data[at] ^ 1 << bit);
            lort_error err = {0};
            assert_int_equal(pwrite(fd, &damaged, 1, (off_t)at), 1);
            lort_code code = read_everything(&lort_alloc_heap, false, &err);
            if (code != LORT_E_DAMAGED || !err.message[0])
                fail_msg("bit %d of byte %d: code %d", bit, (int)at, code);
        }
        assert_int_equal(pwrite(fd, &fix.file.data[at], 1, (off_t)at), 1);
    }
    close(fd);
    assert_int_equal(read_everything(&lort_alloc_heap, true, NULL), LORT_OK);
}

static void every_truncation_is_incomplete(void **state)
{
    (void)state;
    write_file(fix.file.data, fix.file.size);
    for (uint64_t size = fix.file.size; size > 0;) {
        lort_error err = {0};
        size -= size < EVERY ? size : EVERY;
        assert_int_equal(truncate(path, (off_t)size), 0);
        assert_int_equal(read_everything(&lort_alloc_heap, false, &err), LORT_E_DAMAGED);
        assert_non_null(strstr(err.message, "incomplete"));
    }
}

static void nothing_may_follow_or_precede(void **state)
{
    (void)state;
    lort_buffer twice = {.alloc = &lort_alloc_heap};
    lort_error err = {0};
    for (uint64_t extra = 1; extra < 200; extra += 33) {
        twice.size = 0;
        lort_put_bytes(&twice, fix.file.data, fix.file.size);
        lort_put_zeros(&twice, extra);
        write_file(twice.data, twice.size);
        assert_int_equal(read_everything(&lort_alloc_heap, false, &err), LORT_E_DAMAGED);
    }
    twice.size = 0;
    lort_put_bytes(&twice, fix.file.data, fix.file.size);
    lort_put_bytes(&twice, fix.file.data, fix.file.size);
    write_file(twice.data, twice.size);
    assert_int_equal(read_everything(&lort_alloc_heap, false, &err), LORT_E_DAMAGED);
    assert_non_null(strstr(err.message, "footer says"));
    lort_buffer_free(&twice);
}

static void other_files_are_not_lort(void **state)
{
    (void)state;
    lort_error err = {0};
    write_file("GGUF and more than forty bytes of something else", 48);
    assert_int_equal(read_everything(&lort_alloc_heap, false, &err), LORT_E_INPUT);
    assert_non_null(strstr(err.message, "not a .lort"));
    assert_false(lort_archive_bid((const uint8_t *)"GGUF", 4));
    assert_false(lort_archive_bid(fix.file.data, 0));
    for (uint64_t n = 1; n < LORT_HEADER_BYTES; n++)
        assert_true(lort_archive_bid(fix.file.data, n));
    uint8_t other[64] = {0x50, 0x2A, 0x4D, 0x18};
    assert_false(lort_archive_bid(other, sizeof other));
    lort_archive *a;
    assert_int_equal(lort_archive_open("/nonexistent/x.lort", &lort_alloc_heap, &a, &err),
                     LORT_E_INPUT);
}

/* Gives the frame a hash that matches its changed bytes. */
static void reseal(uint8_t *frame, uint64_t bytes)
{
    lort_store_u64(frame + bytes - 8, lort_xxh64(frame, bytes - 8));
}

static void the_future_is_refused(void **state)
{
    (void)state;
    static const struct {
        unsigned at;
        uint8_t value;
        lort_code code;
        const char *says;
    } cases[] = {{40, 2, LORT_E_INPUT, "version 2.0"},
                 {42, 9, LORT_OK, ""},
                 {48, LORT_FEATURE_SCALES, LORT_OK, ""},
                 {48, LORT_FEATURE_OPAQUE, LORT_OK, ""},
                 {48, 0xff, LORT_OK, ""},
                 {49, 1, LORT_E_INPUT, "needs a newer LoRT"},
                 {55, 0x80, LORT_E_INPUT, "needs a newer LoRT"},
                 {56, 1, LORT_OK, ""},
                 {44, 1, LORT_E_DAMAGED, "reserved"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lort_error err = {0};
        uint8_t *copy = malloc(fix.file.size);
        memcpy(copy, fix.file.data, fix.file.size);
        copy[cases[i].at] = cases[i].value;
        reseal(copy, LORT_HEADER_BYTES);
        write_file(copy, fix.file.size);
        assert_int_equal(read_everything(&lort_alloc_heap, true, &err), cases[i].code);
        assert_non_null(strstr(err.message, cases[i].says));
        free(copy);
    }
}

/* A sound container with one fault: the file is built from changed structs. */
static lort_code with_model_hash_wrong(lort_error *err)
{
    lort_codec *codec;
    lort_buffer file = {.alloc = &lort_alloc_heap}, body = {.alloc = &lort_alloc_heap};
    lort_index_record index = fix.index;
    lort_footer footer = fix.footer;
    index.model.bytes[3] ^= 1;
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    lort_put_bytes(&file, fix.file.data, fix.footer.index_offset);
    lort_index_record_put(&index, &body);
    assert_int_equal(lort_record_put(LORT_FRAME_INDEX, body.data, body.size, codec,
                                     &lort_alloc_heap, 64, &file, NULL),
                     LORT_OK);
    footer.index_bytes = file.size - footer.index_offset;
    footer.file_size = file.size + LORT_FOOTER_BYTES;
    body.size = 0;
    lort_footer_put(&footer, &body);
    assert_int_equal(lort_record_put(LORT_FRAME_FOOTER, body.data, body.size, codec,
                                     &lort_alloc_heap, 4096, &file, NULL),
                     LORT_OK);
    write_file(file.data, file.size);
    lort_buffer_free(&file);
    lort_buffer_free(&body);
    lort_codec_close(codec);
    return read_everything(&lort_alloc_heap, false, err);
}

static void the_identity_is_checked(void **state)
{
    (void)state;
    lort_error err = {0};
    assert_int_equal(with_model_hash_wrong(&err), LORT_E_DAMAGED);
    assert_non_null(strstr(err.message, "model hash"));
}

/* Writes index and footer behind the records in *file, and the whole to the disk. `extra`: how much
 * later the records from `at` on lie than in the fixture. */
static void write_end(lort_buffer *file, uint32_t at, uint64_t extra, lort_codec *codec)
{
    lort_buffer body = {.alloc = &lort_alloc_heap};
    lort_index_entry entries[FIXTURE_PARTS];
    lort_index_record index = {entries, FIXTURE_PARTS, fix.index.model};
    lort_footer footer = {.model_offset = LORT_HEADER_BYTES, .index_offset = file->size};
    for (uint32_t i = 0; i < FIXTURE_PARTS; i++)
        entries[i] = (lort_index_entry){fix.entries[i].record_offset + (i >= at ? extra : 0),
                                        fix.entries[i].record_bytes};
    lort_index_record_put(&index, &body);
    lort_record_put(LORT_FRAME_INDEX, body.data, body.size, codec, &lort_alloc_heap, 64, file,
                    NULL);
    lort_buffer_free(&body);
    footer.index_bytes = file->size - footer.index_offset;
    footer.file_size = file->size + LORT_FOOTER_BYTES;
    lort_footer_put(&footer, &body);
    lort_record_put(LORT_FRAME_FOOTER, body.data, body.size, codec, &lort_alloc_heap, 4096, file,
                    NULL);
    write_file(file->data, file->size);
    lort_buffer_free(&body);
}

/* Writes the fixture again, every record sound, with `extra` bytes in front of record `at` that
 * belong to nothing (FIXTURE_PARTS: in front of the index). */
static void write_with_gap(uint32_t at, uint64_t extra)
{
    lort_buffer file = {.alloc = &lort_alloc_heap};
    lort_codec *codec;
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    uint64_t cut = at < FIXTURE_PARTS ? fix.entries[at].record_offset : fix.footer.index_offset;
    lort_put_bytes(&file, fix.file.data, cut);
    lort_put_zeros(&file, extra);
    lort_put_bytes(&file, fix.file.data + cut, fix.footer.index_offset - cut);
    write_end(&file, at, extra, codec);
    lort_codec_close(codec);
    lort_buffer_free(&file);
}

/* Writes the fixture again, every record sound, with these required features, and with this name
 * for its last file. */
static void write_with_name(const char *name, uint64_t required)
{
    lort_buffer file = {.alloc = &lort_alloc_heap}, body = {.alloc = &lort_alloc_heap};
    lort_input_file files[FIXTURE_FILES];
    lort_model_record model = fix.model;
    lort_codec *codec;
    const uint64_t parts = fix.entries[0].record_offset - fix.parts[0].part.payload_bytes;
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    lort_head_put(&(lort_head){.major = LORT_CONTAINER_MAJOR, .required = required}, &body);
    lort_record_put(LORT_FRAME_HEAD, body.data, body.size, codec, &lort_alloc_heap, 4096, &file,
                    NULL);
    lort_buffer_free(&body);
    memcpy(files, fix.files, sizeof files);
    files[FIXTURE_FILES - 1].name = name;
    model.files = files;
    lort_model_record_put(&model, &body);
    lort_record_put(LORT_FRAME_MODEL, body.data, body.size, codec, &lort_alloc_heap, 4096, &file,
                    NULL);
    lort_buffer_free(&body);
    const uint64_t extra = file.size - parts; /* may be below 0: the sums wrap */
    lort_put_bytes(&file, fix.file.data + parts, fix.footer.index_offset - parts);
    write_end(&file, 0, extra, codec);
    lort_codec_close(codec);
    lort_buffer_free(&file);
}

static void paths_need_their_feature(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t required;
        lort_code code;
    } cases[] = {{"vocab.txt", 0, LORT_OK},
                 {"vocab.txt", LORT_FEATURE_PATHS, LORT_OK},
                 {"unet/vocab.txt", LORT_FEATURE_PATHS, LORT_OK},
                 {"unet/vocab.txt", LORT_FEATURES_REQUIRED, LORT_OK},
                 {"unet/vocab.txt", LORT_FEATURES_REQUIRED & ~LORT_FEATURE_PATHS, LORT_E_DAMAGED},
                 {"a/b", 0, LORT_E_DAMAGED}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lort_error err = {0};
        write_with_name(cases[i].name, cases[i].required);
        assert_int_equal(read_everything(&lort_alloc_heap, true, &err), cases[i].code);
        if (cases[i].code)
            assert_non_null(strstr(err.message, "model record: files have paths, but bit 5"));
    }
}

static void no_byte_belongs_to_nothing(void **state)
{
    (void)state;
    for (uint32_t at = 0; at <= FIXTURE_PARTS; at++) {
        lort_error err = {0};
        write_with_gap(at, 0);
        assert_int_equal(read_everything(&lort_alloc_heap, true, &err), LORT_OK);
        write_with_gap(at, 1);
        assert_int_equal(read_everything(&lort_alloc_heap, false, &err), LORT_E_DAMAGED);
        assert_non_null(strstr(err.message, at < FIXTURE_PARTS
                                                ? "payload bytes where"
                                                : "between the last part and the index"));
    }
}

/* ---- records in pieces ---- */

static lort_code view_memory(void *ctx, uint64_t offset, uint64_t n, lort_buffer *scratch,
                             const uint8_t **out, lort_error *err)
{
    const lort_buffer *file = ctx;
    (void)scratch;
    assert_true(offset <= file->size && n <= file->size - offset);
    *out = file->data + offset;
    (void)err;
    return LORT_OK;
}

static void records_come_back_in_pieces(void **state)
{
    (void)state;
    uint8_t noise[1000];
    lort_buffer file = {.alloc = &lort_alloc_heap};
    lort_record_source source = {.view = view_memory, .ctx = &file, .alloc = &lort_alloc_heap};
    lort_record record;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)(i * i * 2654435761u >> 13);
    assert_int_equal(lort_codec_open(1, &source.codec, NULL), LORT_OK);
    for (uint64_t bytes = 0; bytes <= sizeof noise; bytes += 125)
        for (uint64_t piece = 125; piece <= 1000; piece += 175) {
            file.size = 0;
            assert_int_equal(lort_record_put(LORT_FRAME_MODEL, noise, bytes, source.codec,
                                             &lort_alloc_heap, piece, &file, NULL),
                             LORT_OK);
            lort_code code =
                lort_record_read(&source, LORT_FRAME_MODEL, 0, file.size, &record, NULL);
            assert_int_equal(code, LORT_OK);
            assert_int_equal(record.bytes, bytes);
            assert_int_equal(record.frame_bytes, file.size);
            if (bytes)
                assert_memory_equal(record.body, noise, bytes);
            lort_record_free(&record);
            assert_int_equal(
                lort_record_read(&source, LORT_FRAME_PART, 0, file.size, &record, NULL),
                LORT_E_DAMAGED);
            lort_record_free(&record);
            for (uint64_t end = 0; end < file.size; end += 61) {
                assert_int_equal(lort_record_read(&source, LORT_FRAME_MODEL, 0, end, &record, NULL),
                                 LORT_E_DAMAGED);
                lort_record_free(&record);
            }
        }
    lort_codec_close(source.codec);
    lort_buffer_free(&file);
}

static void pieces_must_fit_together(void **state)
{
    (void)state;
    uint8_t body[64] = {0};
    static const struct {
        uint32_t piece, pieces;
        uint64_t decoded, bytes;
        lort_frame_kind kind;
        lort_code code;
    } second[] = {{1, 2, 40, 20, LORT_FRAME_MODEL, LORT_OK},
                  {0, 2, 40, 20, LORT_FRAME_MODEL, LORT_E_DAMAGED},
                  {1, 3, 40, 20, LORT_FRAME_MODEL, LORT_E_DAMAGED},
                  {1, 2, 41, 20, LORT_FRAME_MODEL, LORT_E_DAMAGED},
                  {1, 2, 40, 21, LORT_FRAME_MODEL, LORT_E_DAMAGED},
                  {1, 2, 40, 19, LORT_FRAME_MODEL, LORT_E_DAMAGED},
                  {1, 2, 40, 20, LORT_FRAME_PART, LORT_E_DAMAGED}};
    lort_buffer file = {.alloc = &lort_alloc_heap};
    lort_record_source source = {.view = view_memory, .ctx = &file, .alloc = &lort_alloc_heap};
    for (size_t i = 0; i < sizeof second / sizeof second[0]; i++) {
        lort_record record;
        file.size = 0;
        lort_frame_put(&(lort_frame){.kind = LORT_FRAME_MODEL,
                                     .pieces = 2,
                                     .decoded = 40,
                                     .body = body,
                                     .body_bytes = 20},
                       &file);
        lort_frame_put(&(lort_frame){.kind = second[i].kind,
                                     .piece = second[i].piece,
                                     .pieces = second[i].pieces,
                                     .decoded = second[i].decoded,
                                     .body = body,
                                     .body_bytes = second[i].bytes},
                       &file);
        assert_int_equal(lort_record_read(&source, LORT_FRAME_MODEL, 0, file.size, &record, NULL),
                         second[i].code);
        lort_record_free(&record);
    }
    lort_buffer_free(&file);
}

/* ---- memory ---- */

typedef struct failing {
    int left;
    uint64_t out;
} failing;

static void *failing_take(void *ctx, size_t bytes)
{
    failing *f = ctx;
    if (f->left-- <= 0)
        return NULL;
    f->out += bytes;
    return lort_alloc_heap.take(NULL, bytes);
}

static void failing_give(void *ctx, void *memory, size_t bytes)
{
    failing *f = ctx;
    f->out -= bytes;
    lort_alloc_heap.give(NULL, memory, bytes);
}

static void every_failed_allocation_is_clean(void **state)
{
    (void)state;
    lort_code code = LORT_E_MEMORY;
    write_file(fix.file.data, fix.file.size);
    int n = 0;
    for (; code == LORT_E_MEMORY; n++) {
        failing f = {.left = n};
        lort_alloc alloc = {failing_take, failing_give, &f};
        code = read_everything(&alloc, true, NULL);
        assert_int_equal(f.out, 0);
        assert_true(n < 1000);
    }
    assert_int_equal(code, LORT_OK);
    assert_true(n > 5);
}

/* ---- docs/FORMAT.md ---- */

/* The bytes of the page's ```hex block. */
static uint64_t worked_example(uint8_t *out, uint64_t cap)
{
    char line[256];
    uint64_t n = 0;
    bool inside = false;
    FILE *f = fopen("docs/FORMAT.md", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, "```", 3) == 0)
            inside = strncmp(line, "```hex", 6) == 0;
        if (!inside || line[0] < '0' || line[0] > '9')
            continue;
        char *at = line;
        assert_int_equal(strtoul(line, &at, 10), n); /* the offset at the start of the line */
        for (char *end = NULL; n < cap && end != at; n += end != at) {
            at = end ? end : at;
            out[n] = (uint8_t)strtoul(at, &end, 16);
        }
    }
    fclose(f);
    return n;
}

static void the_worked_example_is_what_we_write(void **state)
{
    (void)state;
    uint8_t bytes[1024], text[16];
    lort_error err = {0};
    lort_archive *a;
    lort_codec *codec;
    lort_buffer again = {.alloc = &lort_alloc_heap}, body = {.alloc = &lort_alloc_heap};
    uint64_t n = worked_example(bytes, sizeof bytes);
    assert_int_equal(n, 593);
    write_file(bytes, n);
    if (lort_archive_open(path, &lort_alloc_heap, &a, &err))
        fail_msg("%s", err.message);
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    assert_string_equal(lort_archive_model(a)->files[0].name, "a.txt");
    assert_int_equal(lort_archive_chunk(a, lort_archive_part(a, 0), 0, codec, NULL, text, NULL),
                     LORT_OK);
    assert_memory_equal(text, "hello", 5);
    /* Records that were read give the same bytes when written again: the page's layouts are the
     * writers'. */
    lort_head_put(lort_archive_head(a), &body);
    assert_memory_equal(body.data, bytes + 32, body.size);
    body.size = 0;
    lort_model_record_put(lort_archive_model(a), &body);
    lort_frame_put(&(lort_frame){.kind = LORT_FRAME_MODEL,
                                 .pieces = 1,
                                 .decoded = body.size,
                                 .body = body.data,
                                 .body_bytes = body.size},
                   &again);
    assert_memory_equal(again.data, bytes + 72, again.size);
    body.size = 0;
    lort_part_put(lort_archive_part(a, 0), &body);
    assert_memory_equal(body.data, bytes + 253, body.size);
    body.size = 0;
    lort_index_record_put(lort_archive_index(a), &body);
    assert_memory_equal(body.data, bytes + 465, body.size);
    lort_codec_close(codec);
    lort_archive_close(a);
    lort_buffer_free(&again);
    lort_buffer_free(&body);
}

/* ---- without a map ---- */

#define BIG_CHUNKS 4u

/* One raw file of BIG_CHUNKS chunks of LORT_CHUNK_MAX noise. */
static void build_big(lort_buffer *file, uint8_t *noise, lort_codec *codec)
{
    const uint64_t room = lort_codec_bound(LORT_CHUNK_MAX);
    uint8_t *coded = malloc(room);
    lort_chunk chunks[BIG_CHUNKS];
    uint32_t rank = 1;
    int64_t dim = (int64_t)BIG_CHUNKS * LORT_CHUNK_MAX;
    lort_term term = {.left = LORT_U8, .right = LORT_U8, .left_width = 1, .rank = &rank};
    lort_buffer body = {.alloc = &lort_alloc_heap};
    lort_input_file input = {
        .name = "noise.bin", .size = (uint64_t)dim, .role = LORT_ROLE_SIDE, .format = "bytes"};
    lort_extent extent = {.bytes = (uint64_t)dim};
    lort_part part = {.dtype = LORT_U8,
                      .n_dims = 1,
                      .dims = &dim,
                      .slices = 1,
                      .source_bytes = (uint64_t)dim,
                      .name = "",
                      .reason = "",
                      .terms = &term,
                      .term_count = 1,
                      .chunks = chunks,
                      .chunk_count = BIG_CHUNKS};
    lort_model_record model = {.producer = "",
                               .options = "",
                               .libraries = "",
                               .files = &input,
                               .file_count = 1,
                               .extents = &extent,
                               .extent_count = 1};
    lort_index_entry entry;
    lort_footer footer = {.model_offset = LORT_HEADER_BYTES};
    lort_head_put(&(lort_head){.major = 1}, &body);
    lort_record_put(LORT_FRAME_HEAD, body.data, body.size, codec, &lort_alloc_heap, 4096, file,
                    NULL);
    body.size = 0;
    lort_model_record_put(&model, &body);
    lort_record_put(LORT_FRAME_MODEL, body.data, body.size, codec, &lort_alloc_heap, 4096, file,
                    NULL);
    for (uint32_t i = 0; i < BIG_CHUNKS; i++) {
        uint64_t stored;
        assert_int_equal(
            lort_codec_encode(codec, noise, LORT_CHUNK_MAX, coded, room, &stored, NULL), LORT_OK);
        chunks[i] = (lort_chunk){.stored = (uint32_t)stored,
                                 .decoded = LORT_CHUNK_MAX,
                                 .offset = part.payload_bytes,
                                 .first = (uint64_t)i * LORT_CHUNK_MAX,
                                 .count = LORT_CHUNK_MAX,
                                 .hash = lort_xxh64(coded, stored)};
        part.payload_bytes += stored;
        lort_put_bytes(file, coded, stored);
    }
    entry.record_offset = file->size;
    body.size = 0;
    lort_part_put(&part, &body);
    lort_record_put(LORT_FRAME_PART, body.data, body.size, codec, &lort_alloc_heap, 4096, file,
                    NULL);
    entry.record_bytes = file->size - entry.record_offset;
    footer.index_offset = file->size;
    body.size = 0;
    lort_index_record_put(&(lort_index_record){&entry, 1, lort_xxh128(part.source.bytes, 16)},
                          &body);
    lort_record_put(LORT_FRAME_INDEX, body.data, body.size, codec, &lort_alloc_heap, 4096, file,
                    NULL);
    footer.index_bytes = file->size - footer.index_offset;
    footer.file_size = file->size + LORT_FOOTER_BYTES;
    body.size = 0;
    lort_footer_put(&footer, &body);
    lort_record_put(LORT_FRAME_FOOTER, body.data, body.size, codec, &lort_alloc_heap, 4096, file,
                    NULL);
    assert_int_equal(lort_buffer_check(file, NULL), LORT_OK);
    lort_buffer_free(&body);
    free(coded);
}

static void reads_without_a_map(void **state)
{
    (void)state;
    if (SANITIZED || access("/proc/self/statm", R_OK) != 0) {
        print_message("skipped: %s\n",
                      SANITIZED ? "a sanitizer's address space cannot be limited" : "no /proc");
        skip();
    }
    struct rlimit old, tight;
    lort_buffer file = {.alloc = &lort_alloc_heap};
    lort_codec *codec;
    lort_archive *a;
    lort_code code = LORT_OK;
    uint8_t *noise = malloc(LORT_CHUNK_MAX), *dst = malloc(LORT_CHUNK_MAX);
    uint64_t x = 1;
    for (uint64_t i = 0; i < LORT_CHUNK_MAX; i++)
        noise[i] = (uint8_t)((x = x * 6364136223846793005u + 1442695040888963407u) >> 56);
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    build_big(&file, noise, codec);
    write_file(file.data, file.size);
    lort_buffer_free(&file);
    FILE *statm = fopen("/proc/self/statm", "r");
    unsigned pages = 0;
    assert_non_null(statm);
    assert_int_equal(fscanf(statm, "%u", &pages), 1);
    fclose(statm);
    assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
    tight = old;
    tight.rlim_cur = (rlim_t)pages * 4096 + (40u << 20); /* less than the file, more than a chunk */
    assert_int_equal(setrlimit(RLIMIT_AS, &tight), 0);
    code = lort_archive_open(path, &lort_alloc_heap, &a, NULL);
    for (uint32_t i = 0; i < BIG_CHUNKS && code == LORT_OK; i++) {
        memset(dst, 0, LORT_CHUNK_MAX);
        code = lort_archive_chunk(a, lort_archive_part(a, 0), i, codec, NULL, dst, NULL);
        assert_memory_equal(dst, noise, LORT_CHUNK_MAX);
    }
    setrlimit(RLIMIT_AS, &old);
    assert_int_equal(code, LORT_OK);
    lort_archive_release(a, lort_archive_part(a, 0));
    lort_archive_close(a);
    lort_codec_close(codec);
    free(noise);
    free(dst);
}

/* ---- a file that changes ---- */

static void touch(void)
{
    assert_int_equal(
        utimensat(AT_FDCWD, path, (struct timespec[]){{.tv_nsec = UTIME_OMIT}, {.tv_sec = 999}}, 0),
        0);
}

static void overwrite(void)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    /* A byte of the first payload. */
    assert_int_equal(fseek(f, (long)(fix.index.entries[0].record_offset - 1), SEEK_SET), 0);
    fputc(fix.file.data[fix.index.entries[0].record_offset - 1] ^ 1, f);
    assert_int_equal(fclose(f), 0);
}

static void grow(void)
{
    FILE *f = fopen(path, "ab");
    assert_non_null(f);
    fputc('x', f);
    assert_int_equal(fclose(f), 0);
}

static void shrink(void) { assert_int_equal(truncate(path, 20), 0); }
/* Wine keeps the name of a removed file while somebody has the file open, unlike Linux and new
 * versions of Windows. So the file gets another name first. */
static void take_away(void)
{
    char other[80];
    snprintf(other, sizeof other, "%s.aside", path);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(unlink(other), 0);
}

static void replace(void)
{
    char other[80];
    snprintf(other, sizeof other, "%s.new", path);
    assert_int_equal(rename(path, other), 0);
    write_file(fix.file.data, fix.file.size);
    assert_int_equal(unlink(other), 0);
}

static void every_change_is_a_read_error(void **state)
{
    static const struct {
        void (*make)(void);
        const char *words;
    } changes[] = {
        {touch, "was modified"}, {overwrite, "was modified"}, {grow, "grew"},
        {shrink, "shrank"},      {replace, "was replaced"},   {take_away, "the input changed"}};
    static uint8_t scratch[4096], dst[4096];
    lort_archive *a;
    lort_codec *codec;
    (void)state;
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        lort_error err = {0};
        write_file(fix.file.data, fix.file.size);
        assert_int_equal(
            utimensat(AT_FDCWD, path, (struct timespec[]){{.tv_sec = 1}, {.tv_sec = 1}}, 0), 0);
        assert_int_equal(lort_archive_open(path, &lort_alloc_heap, &a, &err), LORT_OK);
        const lort_part *part = lort_archive_part(a, 0);
        assert_int_equal(lort_archive_unchanged(a, &err), LORT_OK);
        assert_int_equal(
            lort_archive_chunk(a, part, part->chunk_count - 1, codec, scratch, dst, &err), LORT_OK);
        changes[i].make();
        assert_int_equal(lort_archive_unchanged(a, &err), LORT_E_READ);
        assert_int_equal(err.code, LORT_E_READ);
        assert_non_null(strstr(err.message, changes[i].words));
        assert_non_null(strstr(err.message, "a.lort"));
        if (changes[i].make == overwrite) /* the container is not damaged then */
            assert_int_equal(
                lort_archive_chunk(a, part, part->chunk_count - 1, codec, scratch, dst, &err),
                LORT_E_READ);
        lort_archive_close(a);
        unlink(path);
    }
    lort_codec_close(codec);
}

/* A name may hold bytes that a terminal would obey. */
static void paths_are_escaped(void **state)
{
    (void)state;
    lort_error err = {0};
    char plain[sizeof path];
    strcpy(plain, path);
    strcat(path, "\x1b[31m");
    write_file(fix.file.data, fix.file.size - 1);
    assert_int_equal(read_everything(&lort_alloc_heap, false, &err), LORT_E_DAMAGED);
    assert_non_null(strstr(err.message, "a.lort\\x1B[31m: "));
    /* The last byte of the payload before the record. */
    uint8_t *stored = fix.file.data + fix.entries[0].record_offset - 1;
    *stored ^= 1;
    write_file(fix.file.data, fix.file.size);
    *stored ^= 1;
    assert_int_equal(read_everything(&lort_alloc_heap, false, &err), LORT_E_DAMAGED);
    assert_non_null(strstr(err.message, "a.lort\\x1B[31m: part 0, chunk "));
    unlink(path);
    strcpy(path, plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_and_reads_all),
        cmocka_unit_test(factors_come_back),
        cmocka_unit_test(every_flipped_bit_is_found),
        cmocka_unit_test(every_truncation_is_incomplete),
        cmocka_unit_test(nothing_may_follow_or_precede),
        cmocka_unit_test(other_files_are_not_lort),
        cmocka_unit_test(the_future_is_refused),
        cmocka_unit_test(the_identity_is_checked),
        cmocka_unit_test(no_byte_belongs_to_nothing),
        cmocka_unit_test(paths_need_their_feature),
        cmocka_unit_test(records_come_back_in_pieces),
        cmocka_unit_test(pieces_must_fit_together),
        cmocka_unit_test(every_failed_allocation_is_clean),
        cmocka_unit_test(the_worked_example_is_what_we_write),
        cmocka_unit_test(reads_without_a_map),
        cmocka_unit_test(every_change_is_a_read_error),
        cmocka_unit_test(paths_are_escaped),
    };
    return run_chosen(tests, set_up, tear_down);
}
