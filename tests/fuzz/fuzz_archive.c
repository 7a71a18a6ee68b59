/* Fuzz target: containers opened and decoded. No crash. Memory is in proportion to the file: 1024
 * bytes of a record for one that is stored. A container whose hashes are right opens if its names
 * differ. Its chunks decode to their content. A slice decodes to the same values from any cells.
 * The values are finite, except in kept numbers and products of factors.
 *
 * Input: a byte that says how, and the rest. The rest is the file as it stands, or it is sealed
 * (fuzz_sealed.h), with a payload as it stands or as its decoded content. */
#define _GNU_SOURCE
#include "compress/factor/factor.h"
#include "compress/read/encoding.h"
#include "formats/base/bytes.h"
#include "formats/container/part.h"
#include "fuzz_dir.h"
#include "fuzz_header.h"
#include "fuzz_sealed.h"
#include <math.h>

#define VALUES_MOST (1u << 17) /* of a part that is decoded */
#define SLICES_MOST 64

static lort_codec *codec;

static void check_code(lort_code code, const lort_error *err)
{
    CHECK(code == LORT_OK || (code == LORT_E_DAMAGED && err->code == code && err->message[0] &&
                              lort_utf8_valid(err->message, strlen(err->message))));
}

/* The values are the same a row of blocks at a time, and in small steps of the decoder from the
 * last one back. */
static void check_cells(const lort_slice *slice, lort_scratch *scratch)
{
    const lort_cell_grid grid = lort_cell_grid_of(slice->shape.rows, slice->shape.cols);
    const uint64_t count = (uint64_t)slice->shape.rows * (uint64_t)slice->shape.cols;
    lort_chunk_cache cache = {0}, other = {0};
    lort_error err = {0};
    if (count == 0)
        return;
    CHECK(grid.across == 1 && count <= VALUES_MOST);
    enum { STEP_ROWS = 23 };
    float *whole = malloc(count * sizeof *whole + 1), *step = malloc(count * sizeof *step + 1);
    CHECK(whole && step);
    lort_code code = LORT_OK;
    for (int64_t i = 0; i < grid.down && code == LORT_OK; i++) {
        const lort_cells cells = lort_cell_get(&grid, i);
        code = lort_slice_cells(slice, &cells, scratch, &cache, whole + cells.r0 * grid.cols, &err);
    }
    check_code(code, &err);
    for (int64_t r = slice->shape.rows; code == LORT_OK && r > 0;) {
        const int64_t r0 = (r - 1) / STEP_ROWS * STEP_ROWS;
        const lort_cells cells = {r0, r, 0, grid.cols};
        CHECK(lort_slice_cells(slice, &cells, scratch, &other, step, NULL) == LORT_OK);
        CHECK(memcmp(step, whole + r0 * grid.cols, lort_cell_count(&cells) * sizeof *step) == 0);
        r = r0;
    }
    for (uint64_t i = 0;
         code == LORT_OK && i < count && !slice->term[LORT_TERM_RAW] && !slice->left; i++)
        CHECK(isfinite(whole[i]));
    free(whole);
    free(step);
}

static void check_slices(const lort_archive *archive, const lort_part *part, lort_scratch *scratch)
{
    allocations l = {0};
    const lort_alloc alloc = {ledger_take, ledger_give, &l};
    const lort_matrices shape = lort_part_matrices(part);
    const bool few = shape.cols <= LORT_BLOCK_COLS &&
                     (shape.rows == 0 || shape.cols == 0 ||
                      (uint64_t)shape.rows <= VALUES_MOST / (uint64_t)shape.cols);
    for (uint32_t i = 0; i < part->slices && i < SLICES_MOST; i++) {
        lort_slice slice;
        lort_error err = {0};
        const lort_code code = lort_slice_open(archive, part, i, scratch, &alloc, &slice, &err);
        check_code(code, &err);
        CHECK(l.peak <= lort_part_memory(part) + 256);
        if (code == LORT_OK && few && lort_part_decodes(part))
            check_cells(&slice, scratch);
        lort_slice_close(&slice);
        CHECK(l.out == 0 && l.blocks == 0);
    }
}

/* content: NULL, or the bytes to which the chunks decode. */
static void check_chunks(const lort_archive *archive, const lort_part *part, const uint8_t *content,
                         lort_scratch *scratch)
{
    for (uint64_t i = 0; i < part->chunk_count; i++) {
        const lort_chunk *chunk = &part->chunks[i];
        const bool block = chunk->array >> 24 == LORT_ARRAY_BLOCKS;
        lort_error err = {0};
        if (chunk->decoded > SEALED_BYTES)
            continue;
        uint8_t *dst = malloc(chunk->decoded ? chunk->decoded : 1);
        CHECK(dst);
        const lort_code code =
            lort_archive_chunk(archive, part, i, codec, block ? NULL : scratch->planes, dst, &err);
        check_code(code, &err);
        if (content) {
            CHECK(code == LORT_OK && memcmp(dst, content, chunk->decoded) == 0);
            content += chunk->decoded;
        }
        free(dst);
    }
}

static void check_archive(const lort_archive *archive, const sealed *s)
{
    lort_block_need need = {0};
    lort_scratch scratch = {0};
    for (uint64_t i = 0; i < lort_archive_count(archive); i++) {
        const lort_part *part = lort_archive_part(archive, i);
        CHECK(part->number == i);
        CHECK(!part->tensor || lort_archive_find(archive, part->name, part->name_bytes) == part);
    }
    CHECK(!lort_archive_part(archive, lort_archive_count(archive)));
    lort_archive_block_need(archive, &need);
    CHECK(lort_scratch_open_read(&scratch, &lort_alloc_heap, lort_archive_chunk_max(archive),
                                 NULL) == LORT_OK);
    CHECK(lort_block_space_open(&scratch.block, &lort_alloc_heap, &need, NULL) == LORT_OK);
    scratch.codec = codec;
    for (uint64_t i = 0; i < lort_archive_count(archive); i++) {
        const lort_part *part = lort_archive_part(archive, i);
        check_chunks(archive, part, s && !s->literal ? s->parts[i].content : NULL, &scratch);
        check_slices(archive, part, &scratch);
        lort_archive_release(archive, part);
    }
    scratch.codec = NULL;
    lort_scratch_close(&scratch, &lort_alloc_heap);
}

static void check_file(const uint8_t *bytes, size_t n, const sealed *s)
{
    allocations l = {0};
    const lort_alloc alloc = {ledger_take, ledger_give, &l};
    lort_archive *archive;
    lort_error err = {0};
    const char *path = fuzz_write("a.lort", bytes, n);
    bool told = false;
    lort_code code = lort_archive_open(path, &alloc, &archive, &err);
    CHECK(l.peak <= (1u << 20) + 4 * LORT_FRAME_RATIO_MAX * (uint64_t)n);
    CHECK(code == LORT_OK || code == LORT_E_DAMAGED || (!s && code == LORT_E_INPUT));
    CHECK((code == LORT_OK) == (archive != NULL) && (code == LORT_OK || err.message[0]));
    if (s)
        CHECK((code == LORT_OK) == s->names_differ);
    CHECK(lort_archive_told(path, &told, NULL) == LORT_OK && (told || code));
    if (archive) {
        check_archive(archive, s);
        lort_archive_close(archive);
    }
    CHECK(l.out == 0 && l.blocks == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    const unsigned how = input_u8(&in) % 3;
    sealed s;
    if (!codec)
        CHECK(lort_codec_open(1, &codec, NULL) == LORT_OK);
    if (how == 0) {
        check_file(in.at, in.left, NULL);
        return 0;
    }
    sealed_make(&s, in, how == 1, "bytes", codec);
    check_file(s.file.data, s.file.size, &s);
    sealed_free(&s);
    return 0;
}
