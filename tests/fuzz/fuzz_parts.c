/* Fuzz target: a file of a task, as lort merge reads it. A sound file of nine parts is changed
 * byte by byte, and the hashes of its frames are made right again, so that the rules behind them
 * are reached. No crash. A file that is accepted gives exactly its parts: the sink gets all bytes
 * between the start and the index.
 *
 * Input: how many bytes to cut off at the end (u8), then changes: place (u16) and value (u8). */
#define _GNU_SOURCE
#include "compress/join/parts.h"
#include "formats/base/bytes.h"
#include "fuzz_dir.h"
#include "fuzz_header.h"
#include "fuzz_input.h"
#include "tests/unit/container_fixture.h"

static fixture sound;
static lort_codec *codec;
static lort_buffer file;
static uint64_t frames[2 * FIXTURE_PARTS + 8], frame_count; /* where frames begin, and end */

/* Appends a record that is not compressed, so that a change reaches its fields. */
static void put_record(lort_frame_kind kind, const lort_buffer *body)
{
    frames[frame_count++] = file.size;
    lort_frame_put(&(lort_frame){.kind = kind,
                                 .pieces = 1,
                                 .decoded = body->size,
                                 .body = body->data,
                                 .body_bytes = body->size},
                   &file);
    frames[frame_count++] = file.size;
}

static void put_parts(lort_index_entry *entries, lort_hasher *hasher)
{
    for (uint32_t i = 0; i < FIXTURE_PARTS; i++) {
        lort_buffer body = {.alloc = &lort_alloc_heap};
        lort_put_bytes(&file, sound.parts[i].payload, sound.parts[i].part.payload_bytes);
        lort_part_put(&sound.parts[i].part, &body);
        lort_hasher_add(hasher, body.data, body.size);
        entries[i].record_offset = file.size;
        put_record(LORT_FRAME_PART, &body);
        entries[i].record_bytes = file.size - entries[i].record_offset;
        lort_buffer_free(&body);
    }
}

static void make_file(void)
{
    lort_index_entry entries[FIXTURE_PARTS];
    lort_hasher *hasher;
    lort_buffer head = {.alloc = &lort_alloc_heap}, model = head, index = head, end = head;
    fixture_build(&sound);
    file.alloc = &lort_alloc_heap;
    CHECK(lort_hasher_open(&lort_alloc_heap, &hasher, NULL) == LORT_OK);
    lort_head_put(&(lort_head){.major = LORT_CONTAINER_MAJOR,
                               .minor = LORT_CONTAINER_MINOR,
                               .required = LORT_FEATURE_OUTLIERS},
                  &head);
    lort_model_record_put(&sound.model, &model);
    put_record(LORT_FRAME_HEAD, &head);
    put_record(LORT_FRAME_MODEL, &model);
    put_parts(entries, hasher);
    const lort_hash128 parts = lort_hasher_value(hasher);
    lort_index_record_put(&(lort_index_record){entries, FIXTURE_PARTS, parts}, &index);
    const uint64_t at = file.size;
    put_record(LORT_FRAME_INDEX, &index);
    lort_task_record_put(&(lort_task_record){.tasks = 1,
                                             .end = FIXTURE_PARTS,
                                             .extents = FIXTURE_PARTS,
                                             .parts = parts,
                                             .fail_above = -1,
                                             .zstd_level = 1,
                                             .index_bytes = file.size - at,
                                             .file_size = file.size + LORT_TASK_BYTES},
                         &end);
    put_record(LORT_FRAME_TASK, &end);
    lort_hasher_close(hasher);
    lort_buffer_free(&head);
    lort_buffer_free(&model);
    lort_buffer_free(&index);
    lort_buffer_free(&end);
    CHECK(lort_buffer_check(&file, NULL) == LORT_OK);
}

static lort_code count_bytes(void *ctx, const void *bytes, uint64_t n, lort_error *err)
{
    volatile uint8_t last = n ? ((const uint8_t *)bytes)[n - 1] : 0;
    (void)last;
    (void)err;
    *(uint64_t *)ctx += n;
    return LORT_OK;
}

static lort_code read_file(const char *path, lort_error *err)
{
    allocations l = {0};
    const lort_alloc alloc = {ledger_take, ledger_give, &l};
    lort_parts_file parts;
    uint64_t bytes = 0;
    const lort_parts_sink sink = {count_bytes, NULL, &bytes};
    lort_code code = lort_parts_open(path, &alloc, codec, &parts, err);
    if (code == LORT_OK)
        code = lort_parts_read(&parts, &sound.model, &sink, err);
    CHECK(code != LORT_OK || bytes == parts.end - parts.start.size);
    lort_parts_close(&parts);
    CHECK(l.out == 0 && l.blocks == 0);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    lort_error err = {0};
    if (!codec) {
        CHECK(lort_codec_open(1, &codec, NULL) == LORT_OK);
        make_file();
    }
    const uint64_t cut = input_u8(&in), n = file.size - (cut < file.size ? cut : file.size);
    const bool changed = in.left > 0 || cut;
    uint8_t *bytes = exact_copy(file.data, file.size, 0);
    while (in.left) {
        const uint64_t at = input_u16(&in) % file.size;
        bytes[at] = input_u8(&in);
    }
    for (uint64_t i = 0; i < frame_count; i += 2)
        lort_store_u64(
            bytes + frames[i + 1] - LORT_FRAME_TRAILER,
            lort_xxh64(bytes + frames[i], frames[i + 1] - frames[i] - LORT_FRAME_TRAILER));
    const lort_code code = read_file(fuzz_write("task", bytes, n), &err);
    CHECK(changed || code == LORT_OK);
    CHECK(code == LORT_OK || ((code == LORT_E_DAMAGED || code == LORT_E_INPUT) && err.message[0]));
    CHECK(!cut || code != LORT_OK);
    free(bytes);
    return 0;
}
