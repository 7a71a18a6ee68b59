/* parts: see parts.h. */
#include "compress/join/parts.h"
#include <string.h>

typedef unsigned long long ull;

/* Copies HEAD and MODEL. Both are checked: a MODEL record that cannot be read is damage. */
static lort_code read_start(lort_parts_file *p, lort_error *err)
{
    const lort_record_source *source = &p->file.source;
    lort_record head = {0}, model = {0};
    lort_head fields;
    const uint8_t *bytes;
    lort_code code = lort_record_read(source, LORT_FRAME_HEAD, 0, p->end, &head, err);
    if (code == LORT_OK)
        code = lort_head_get(head.body, head.bytes, &fields, err);
    if (code == LORT_OK)
        code = lort_record_read(source, LORT_FRAME_MODEL, head.frame_bytes, p->end, &model, err);
    const uint64_t n = head.frame_bytes + model.frame_bytes;
    lort_record_free(&head);
    lort_record_free(&model);
    if (code == LORT_OK)
        code = source->view(source->ctx, 0, n, &p->start, &bytes, err);
    return code;
}

static lort_code read_index(lort_parts_file *p, lort_error *err)
{
    const uint64_t last = p->file.size - LORT_TASK_BYTES;
    lort_record record = {0};
    if (p->task.index_bytes > last)
        return lort_fail(err, LORT_E_DAMAGED, "its index of %llu bytes is longer than the file",
                         (ull)p->task.index_bytes);
    p->end = last - p->task.index_bytes;
    lort_code code =
        lort_record_read(&p->file.source, LORT_FRAME_INDEX, p->end, last, &record, err);
    if (code == LORT_OK)
        code = lort_index_record_get(record.body, record.bytes, &p->arena, &p->index, err);
    if (code == LORT_OK &&
        (record.frame_bytes != p->task.index_bytes ||
         p->index.count != p->task.end - p->task.first ||
         memcmp(p->index.model.bytes, p->task.parts.bytes, sizeof p->task.parts.bytes) != 0))
        code = lort_fail(err, LORT_E_DAMAGED, "its index does not belong to its end");
    lort_record_free(&record);
    return code;
}

lort_code lort_parts_open(const char *path, const lort_alloc *alloc, lort_codec *codec,
                          lort_parts_file *out, lort_error *err)
{
    *out = (lort_parts_file){.arena.alloc = alloc, .start.alloc = alloc, .window.alloc = alloc};
    lort_code code = lort_task_open(path, alloc, codec, &out->file, err);
    if (code || !out->file.file)
        return code;
    code = lort_task_read(&out->file, &out->task, err);
    if (code == LORT_OK)
        code = read_index(out, err);
    return code ? code : read_start(out, err);
}

static lort_code give_bytes(const lort_parts_sink *sink, const void *bytes, uint64_t n,
                            lort_error *err)
{
    return sink->bytes ? sink->bytes(sink->ctx, bytes, n, err) : LORT_OK;
}

/* Chunks fill the payload, so that all of it passes here (lort_part_get). */
static lort_code read_payload(lort_parts_file *p, const lort_part *part, uint64_t start,
                              const lort_parts_sink *sink, lort_error *err)
{
    const lort_record_source *source = &p->file.source;
    for (uint64_t i = 0; i < part->chunk_count && !part->same; i++) {
        const lort_chunk *chunk = &part->chunks[i];
        const uint8_t *bytes;
        lort_code code = source->view(source->ctx, start + chunk->offset, chunk->stored, &p->window,
                                      &bytes, err);
        if (code == LORT_OK && lort_xxh64(bytes, chunk->stored) != chunk->hash)
            code = lort_fail(err, LORT_E_DAMAGED, "chunk %llu of part %llu is damaged", (ull)i,
                             (ull)part->number);
        if (code == LORT_OK)
            code = give_bytes(sink, bytes, chunk->stored, err);
        if (code)
            return code;
    }
    return LORT_OK;
}

static lort_code check_place(const lort_parts_file *p, const lort_part *part,
                             const lort_index_entry *entry, const lort_record *record,
                             uint64_t number, uint64_t start, lort_error *err)
{
    if (part->number == number && record->frame_bytes == entry->record_bytes &&
        part->payload_bytes == entry->record_offset - start)
        return LORT_OK;
    return lort_fail(err, LORT_E_DAMAGED,
                     "part %llu stands where part %llu of %llu bytes is expected",
                     (ull)part->number, (ull)number, (ull)(entry->record_offset - start));
}

/* Gives the frames of a record as they stand in the file. */
static lort_code give_record(lort_parts_file *p, const lort_index_entry *entry,
                             const lort_parts_sink *sink, lort_error *err)
{
    const uint8_t *bytes;
    lort_code code = p->file.source.view(p->file.source.ctx, entry->record_offset,
                                         entry->record_bytes, &p->window, &bytes, err);
    return code ? code : give_bytes(sink, bytes, entry->record_bytes, err);
}

static lort_code read_part(lort_parts_file *p, const lort_model_record *model, uint64_t i,
                           uint64_t start, lort_hasher *hasher, const lort_parts_sink *sink,
                           lort_error *err)
{
    const lort_index_entry *entry = &p->index.entries[i];
    lort_arena arena = {.alloc = p->arena.alloc};
    lort_record record = {0};
    lort_part part;
    if (entry->record_offset < start || entry->record_offset > p->end ||
        entry->record_bytes > p->end - entry->record_offset)
        return lort_fail(err, LORT_E_DAMAGED, "part %llu lies outside the file",
                         (ull)(p->task.first + i));
    lort_code code = lort_record_read(&p->file.source, LORT_FRAME_PART, entry->record_offset,
                                      p->end, &record, err);
    if (code == LORT_OK)
        code = lort_part_get(record.body, record.bytes, &arena, &part, err);
    if (code == LORT_OK)
        code = lort_part_matches(&part, model, err);
    if (code == LORT_OK)
        code = check_place(p, &part, entry, &record, p->task.first + i, start, err);
    if (code == LORT_OK) {
        lort_hasher_add(hasher, record.body, record.bytes);
        code = read_payload(p, &part, start, sink, err);
    }
    if (code == LORT_OK)
        code = give_record(p, entry, sink, err);
    if (code == LORT_OK && sink->part)
        code = sink->part(sink->ctx, &part, entry, err);
    lort_record_free(&record);
    lort_arena_free(&arena);
    return code;
}

lort_code lort_parts_read(lort_parts_file *p, const lort_model_record *model,
                          const lort_parts_sink *sink, lort_error *err)
{
    uint64_t at = p->start.size;
    lort_hasher *hasher;
    lort_code code = lort_hasher_open(p->arena.alloc, &hasher, err);
    if (code)
        return code;
    for (uint64_t i = 0; i < p->index.count && code == LORT_OK; i++) {
        code = read_part(p, model, i, at, hasher, sink, err);
        at = p->index.entries[i].record_offset + p->index.entries[i].record_bytes;
    }
    const lort_hash128 found = lort_hasher_value(hasher);
    lort_hasher_close(hasher);
    if (code == LORT_OK &&
        (at != p->end || memcmp(found.bytes, p->task.parts.bytes, sizeof found.bytes) != 0))
        code = lort_fail(err, LORT_E_DAMAGED, "its parts are not those that its end tells of");
    return code;
}

void lort_parts_close(lort_parts_file *p)
{
    lort_task_close(&p->file);
    if (p->arena.alloc) {
        lort_buffer_free(&p->start);
        lort_buffer_free(&p->window);
    }
    lort_arena_free(&p->arena);
    *p = (lort_parts_file){0};
}
