/* start: see start.h. */
#include "compress/write/start.h"
#include "compress/delta/base.h"
#include "compress/goal/goal.h"
#include "compress/session/versions.h"
#include "formats/base/plain_path.h"
#include "loader/store/record.h"

static uint64_t features_of(const lort_tensor_plan *planned)
{
    const lort_tensor *tensor = planned->tensor;
    return (planned->scaled & LORT_SCALING_COLS ? LORT_FEATURE_SCALES : 0) |
           (planned->scaled & LORT_SCALING_ROWS ? LORT_FEATURE_ROW_SCALES : 0) |
           (planned->candidate ? LORT_FEATURE_OUTLIERS : 0) |
           (planned->candidate && planned->convolution ? LORT_FEATURE_CONVOLUTION : 0) |
           (planned->same ? LORT_FEATURE_SAME : 0) | (planned->base ? LORT_FEATURE_BASE : 0) |
           (tensor && tensor->type->kind == LORT_KIND_OPAQUE ? LORT_FEATURE_OPAQUE : 0);
}

static uint64_t paths_of(const lort_model *model)
{
    bool any = false;
    for (uint32_t i = 0; i < lort_model_file_count(model); i++)
        any |= lort_path_folder(lort_model_get_file(model, i)->name) != 0;
    return any ? LORT_FEATURE_PATHS : 0;
}

static void put_head(const lort_decider *decider, const lort_work_plan *plan, lort_buffer *body)
{
    lort_head head = {.major = LORT_CONTAINER_MAJOR,
                      .minor = LORT_CONTAINER_MINOR,
                      .required = paths_of(decider->model)};
    for (uint64_t i = 0; i < plan->count; i++)
        head.required |= features_of(&plan->tensors[i]);
    lort_head_put(&head, body);
}

static const char *format_of(const lort_model_file *file)
{
    return file->role == LORT_ROLE_WEIGHTS ? file->header.format->name
           : file->role == LORT_ROLE_INDEX ? "json"
                                           : "bytes";
}

static lort_code list_files(const lort_model *model, lort_arena *arena, lort_model_record *record,
                            lort_error *err)
{
    void *memory;
    record->file_count = lort_model_file_count(model);
    lort_code code =
        lort_arena_take(arena, record->file_count * sizeof(lort_input_file), &memory, err);
    record->files = code ? NULL : memory;
    for (uint32_t i = 0; code == LORT_OK && i < record->file_count; i++) {
        const lort_model_file *file = lort_model_get_file(model, i);
        record->files[i] = (lort_input_file){file->name, file->size, file->role, format_of(file)};
    }
    return code;
}

static bool has_base(const lort_work_plan *plan)
{
    bool any = false;
    for (uint64_t i = 0; i < plan->count; i++)
        any |= plan->tensors[i].base != 0;
    return any;
}

/* Makes the body of the MODEL record. */
static lort_code put_model(const lort_decider *decider, const lort_work_plan *plan,
                           lort_buffer *body, lort_error *err)
{
    const lort_alloc *alloc = &decider->session->alloc;
    lort_buffer options = {.alloc = alloc};
    lort_arena arena = {.alloc = alloc};
    char libraries[LORT_LIBRARIES_TEXT];
    lort_library_versions(decider->options->goal != LORT_GOAL_LOSSLESS, libraries,
                          sizeof libraries);
    lort_goal_text(decider->options, &options);
    lort_plan_importance_text(plan, &options);
    lort_put_u8(&options, 0);
    lort_model_record record = {.algorithm = LORT_ALGORITHM,
                                .seed = decider->options->seed,
                                .directory = lort_model_directory(decider->model),
                                .producer = "lort " LORT_VERSION,
                                .options = (const char *)options.data,
                                .libraries = libraries};
    /* not written to */
    record.extents =
        (lort_extent *)(uintptr_t)lort_model_extents(decider->model, &record.extent_count);
    lort_code code = lort_buffer_check(&options, err);
    if (code == LORT_OK)
        code = list_files(decider->model, &arena, &record, err);
    if (code == LORT_OK && has_base(plan))
        code = lort_base_list(decider->session->base, &arena, &record, err);
    if (code == LORT_OK)
        lort_model_record_put(&record, body);
    lort_arena_free(&arena);
    lort_buffer_free(&options);
    return code ? code : lort_buffer_check(body, err);
}

lort_code lort_start_put(const lort_decider *decider, const lort_work_plan *plan, lort_buffer *out,
                         lort_error *err)
{
    const lort_alloc *alloc = &decider->session->alloc;
    lort_codec *codec = decider->session->scratch[0].codec;
    lort_buffer head = {.alloc = alloc}, model = {.alloc = alloc};
    put_head(decider, plan, &head);
    lort_code code = put_model(decider, plan, &model, err);
    if (code == LORT_OK)
        code = lort_record_append(LORT_FRAME_HEAD, &head, codec, alloc, out, err);
    if (code == LORT_OK)
        code = lort_record_append(LORT_FRAME_MODEL, &model, codec, alloc, out, err);
    lort_buffer_free(&head);
    lort_buffer_free(&model);
    return code;
}

lort_code lort_start_frame_bytes(const lort_decider *decider, const lort_work_plan *plan,
                                 uint64_t *bytes, lort_error *err)
{
    lort_buffer start = {.alloc = &decider->session->alloc};
    lort_code code = lort_start_put(decider, plan, &start, err);
    *bytes = start.size + LORT_FOOTER_BYTES;
    lort_buffer_free(&start);
    return code;
}
