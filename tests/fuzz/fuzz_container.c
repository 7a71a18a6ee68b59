/* Fuzz target: the gate of containers. The first byte says whether the rest is a frame or the body
 * of a record. The target uses an accepted input the way a reader does. If it can be written back,
 * it must read back. */
#include "formats/container/container.h"
#include "formats/container/part.h"
#include "fuzz.h"

static void use_head(const uint8_t *body, uint64_t bytes, lort_arena *arena)
{
    lort_head head;
    (void)arena;
    lort_head_get(body, bytes, &head, NULL);
}

static void use_footer(const uint8_t *body, uint64_t bytes, lort_arena *arena)
{
    lort_footer footer;
    (void)arena;
    lort_footer_get(body, bytes, &footer, NULL);
}

static void use_model(const uint8_t *body, uint64_t bytes, lort_arena *arena)
{
    lort_model_record m, again;
    lort_buffer out = {.alloc = &lort_alloc_heap};
    uint64_t total = 0, covered = 0;
    if (lort_model_record_get(body, bytes, arena, &m, NULL))
        return;
    for (uint32_t i = 0; i < m.file_count; i++)
        total += m.files[i].size;
    for (uint64_t i = 0; i < m.extent_count; i++)
        covered += m.extents[i].bytes;
    lort_model_record_put(&m, &out);
    CHECK(total == covered &&
          lort_model_record_get(out.data, out.size, arena, &again, NULL) == LORT_OK);
    lort_buffer_free(&out);
}

static void use_part(const uint8_t *body, uint64_t bytes, lort_arena *arena)
{
    lort_part p, again;
    lort_error err = {0};
    lort_buffer out = {.alloc = &lort_alloc_heap};
    uint64_t stored = 0, elements = 0;
    if (lort_part_get(body, bytes, arena, &p, &err)) {
        CHECK(err.message[0]);
        return;
    }
    lort_matrices m = lort_part_matrices(&p);
    for (uint64_t i = 0; i < p.chunk_count; i++) {
        uint32_t slice = p.chunks[i].array & (LORT_MAX_SLICES - 1);
        const uint32_t array = p.chunks[i].array >> 24;
        const lort_term *term =
            slice < p.slices && array <= LORT_ARRAY_OUTLIERS
                ? lort_part_term(&p, slice, lort_array_get(p.chunks[i].array)->term)
                : NULL;
        CHECK(term && p.chunks[i].decoded <= LORT_CHUNK_MAX);
        stored += p.chunks[i].stored;
        elements += p.chunks[i].array >> 24 == LORT_ARRAY_RAW ? p.chunks[i].count : 0;
    }
    CHECK(stored == p.payload_bytes &&
          elements <= (uint64_t)m.slices * (uint64_t)m.rows * (uint64_t)m.cols);
    CHECK((uint64_t)m.slices * (uint64_t)m.rows * (uint64_t)m.cols <= LORT_ELEMENTS_MAX);
    lort_part_put(&p, &out);
    CHECK(lort_part_get(out.data, out.size, arena, &again, NULL) == LORT_OK);
    for (uint32_t i = 0; i < p.term_count; i++)
        CHECK(again.terms[i].scaled == p.terms[i].scaled &&
              (!p.terms[i].scaled || p.terms[i].kind == LORT_TERM_INTEGERS));
    lort_buffer_free(&out);
}

static void use_index(const uint8_t *body, uint64_t bytes, lort_arena *arena)
{
    lort_index_record x;
    lort_index_record_get(body, bytes, arena, &x, NULL);
}

static void use_frame(const uint8_t *body, uint64_t bytes, lort_arena *arena)
{
    lort_frame frame;
    lort_buffer out = {.alloc = &lort_alloc_heap};
    (void)arena;
    if (lort_frame_get(body, bytes, &frame, NULL))
        return;
    lort_frame_put(&frame, &out);
    /* a frame has one spelling */
    CHECK(out.size == frame.frame_bytes && memcmp(out.data, body, out.size) == 0);
    lort_buffer_free(&out);
}

/* Makes the hash of a frame right, so that the rules behind the hash are reached. */
static void use_sealed_frame(const uint8_t *body, uint64_t bytes, lort_arena *arena)
{
    lort_buffer sealed = {.alloc = &lort_alloc_heap};
    lort_put_bytes(&sealed, body, bytes);
    lort_put_u64(&sealed, lort_xxh64(body, bytes));
    use_frame(sealed.data, sealed.size, arena);
    lort_buffer_free(&sealed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const uses[])(const uint8_t *, uint64_t, lort_arena *) = {
        use_head, use_model, use_part, use_index, use_footer, use_frame, use_sealed_frame,
    };
    lort_arena arena = {.alloc = &lort_alloc_heap};
    if (size == 0)
        return 0;
    uses[data[0] % (sizeof uses / sizeof uses[0])](data + 1, size - 1, &arena);
    lort_arena_free(&arena);
    return 0;
}
