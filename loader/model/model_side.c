/* model_side: the side files of a model, and the words about what LoRT leaves out.
 *
 * Files of one reason stand in one line, with their bytes: copies of the weights, other forms of
 * them, hidden files. Everything else that is left out has a line of its own. */
#include "formats/base/plain_path.h"
#include "formats/base/text.h"
#include "loader/model/model_tree.h"
#include "loader/store/archive.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void count_left(lort_tree *tree, uint64_t files, uint64_t bytes)
{
    tree->model->left_files += files;
    tree->model->left_bytes += bytes;
}

void lort_left_add(lort_tree *tree, lort_left why, const char *path, uint64_t files, uint64_t bytes)
{
    lort_left_list *list = &tree->left[why];
    char text[400], size[32], count[40] = "";
    if (files != 1)
        snprintf(count, sizeof count, "%llu files, ", (unsigned long long)files);
    const int n = snprintf(text, sizeof text, "%.300s (%s%s)", path, count,
                           lort_size_text(bytes, size, sizeof size));
    lort_name_text_add(&list->names, text, (uint32_t)n);
    list->files += files;
    list->bytes += bytes;
    count_left(tree, files, bytes);
}

void lort_left_warn(lort_tree *tree, const char *path, uint64_t bytes, const char *format, ...)
{
    char why[600], shown[300];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    lort_model_hold(tree->model, "left out: %s: %s", lort_escape_text(shown, sizeof shown, path),
                    why);
    count_left(tree, 1, bytes);
}

/* ---- the lines ---- */

static const struct line {
    const char *what, *then;
} lines[LORT_LEFTS] = {
    [LORT_LEFT_FORM] = {"other forms of the weights", "; --weights NAME takes another form"},
    [LORT_LEFT_COPY] = {"copies of the weights in other frameworks",
                        "; --side-files all takes them"},
    [LORT_LEFT_HIDDEN] = {"hidden files", "; --side-files all takes them"},
    [LORT_LEFT_OUTPUT] = {"containers of LoRT, earlier outputs", ""},
    [LORT_LEFT_NEVER] = {"no part of a model", ""},
};

static void say_line(lort_tree *tree, lort_left why)
{
    lort_left_list *list = &tree->left[why];
    char size[32], together[64] = "", taken[450] = "";
    if (!list->files)
        return;
    if (list->names.shown + list->names.more > 1)
        snprintf(together, sizeof together, ", %s together",
                 lort_size_text(list->bytes, size, sizeof size));
    if (why == LORT_LEFT_FORM && tree->taken.shown)
        snprintf(taken, sizeof taken, "; LoRT takes %s", lort_name_text_end(&tree->taken));
    lort_model_hold(tree->model, "left out: %s: %s%s%s%s", lines[why].what,
                    lort_name_text_end(&list->names), together, taken, lines[why].then);
}

/* A folder of copies or of hidden files is one entry. */
static void add_folders(lort_tree *tree)
{
    char path[LORT_PLAIN_PATH_MAX + 2];
    for (const lort_found_folder *f = tree->first; f; f = f->next) {
        if (f->top != f || !f->left_files)
            continue;
        snprintf(path, sizeof path, "%s/", f->path);
        lort_left_add(tree, f->name_class == LORT_NAME_COPY ? LORT_LEFT_COPY : LORT_LEFT_HIDDEN,
                      path, f->left_files, f->left_bytes);
    }
}

/* ---- side files ---- */

static void leave_by_name(lort_tree *tree, const lort_found_folder *folder, const lort_found *f)
{
    if (!folder->top) {
        lort_left_add(tree, f->name_class == LORT_NAME_COPY ? LORT_LEFT_COPY : LORT_LEFT_HIDDEN,
                      f->path, 1, f->size);
        return;
    }
    folder->top->left_files++;
    folder->top->left_bytes += f->size;
}

/* The partial output of a run, its journal or its heartbeat. */
static bool is_own_work(const lort_found_folder *folder, const lort_found *f)
{
    const bool beats = lort_text_ends(f->path, ".part.writer"); /* also of a GGUF */
    const size_t n = strlen(f->path) - strlen(beats ? ".writer" : ".journal");
    if (lort_text_ends(f->path, ".part"))
        return f->container;
    for (const lort_found *one = folder->first; one; one = one->next)
        if (strncmp(one->path, f->path, n) == 0 && !one->path[n])
            return beats || one->container || one->size == 0;
    return false;
}

/* A file that LoRT has not looked into is hidden, or in a folder of copies. */
static lort_code tell_container(lort_tree *tree, const lort_found *f, bool *is, lort_error *err)
{
    uint8_t head[LORT_MODEL_HEAD];
    uint64_t n, size;
    *is = f->container;
    if (f->looked)
        return LORT_OK;
    lort_code code = lort_model_read_head(tree->model, f->path, head, &n, &size, err);
    *is = code == LORT_OK && n > LORT_FRAME_HEADER && lort_archive_bid(head, n);
    return code;
}

static lort_code carry(lort_tree *tree, const lort_found *f, lort_error *err)
{
    bool container;
    lort_code code = tell_container(tree, f, &container, err);
    if (code || !container)
        return code ? code : lort_model_add(tree->model, f->path, LORT_ROLE_SIDE, err);
    lort_left_add(tree, LORT_LEFT_OUTPUT, f->path, 1, f->size);
    return LORT_OK;
}

static lort_code add_one(lort_tree *tree, const lort_found_folder *folder, const lort_found *f,
                         lort_error *err)
{
    const bool all = tree->options->all_side_files;
    if (lort_name_is_unfinished(lort_path_base(f->path))) {
        if (!is_own_work(folder, f))
            lort_left_warn(tree, f->path, f->size, "unfinished work");
    } else if (f->container)
        return carry(tree, f, err);
    else if (!all && f->name_class != LORT_NAME_PLAIN)
        leave_by_name(tree, folder, f);
    else if (!all && f->size > LORT_SIDE_FILE_MAX)
        lort_left_warn(tree, f->path, f->size,
                       "%llu bytes, a side file may have at most %u; --side-files all takes it",
                       (unsigned long long)f->size, LORT_SIDE_FILE_MAX);
    else
        return carry(tree, f, err);
    return LORT_OK;
}

static void say_empty(lort_tree *tree)
{
    lort_name_text names = {0};
    unsigned count = 0;
    for (const lort_found_folder *f = tree->first; f; f = f->next) {
        if (f->filled || (f->top && !tree->options->all_side_files))
            continue;
        lort_name_text_add(&names, f->path, (uint32_t)strlen(f->path));
        count++;
    }
    if (count)
        lort_model_hold(tree->model, "left out: %u empty folder%s: %s", count,
                        count == 1 ? "" : "s", lort_name_text_end(&names));
}

lort_code lort_side_add(lort_tree *tree, lort_error *err)
{
    lort_code code = LORT_OK;
    for (const lort_found_folder *folder = tree->first; folder; folder = folder->next)
        for (const lort_found *f = folder->first; f && code == LORT_OK; f = f->next)
            if (f->kind == LORT_FOUND_SIDE && f->form == UINT32_MAX)
                code = add_one(tree, folder, f, err);
    if (code)
        return code;
    add_folders(tree);
    for (int why = 0; why < LORT_LEFTS; why++)
        say_line(tree, (lort_left)why);
    say_empty(tree);
    return LORT_OK;
}

/* ---- a weight file that is named ---- */

static bool is_added(const lort_model *model, const char *path)
{
    for (uint32_t i = 0; i < model->file_count; i++)
        if (strcmp(model->files[i].shown.name, path) == 0)
            return true;
    return false;
}

typedef struct beside {
    lort_model *model;
    lort_name_text names;
    bool is_model; /* a config or a tokenizer lies there: the directory is that of a model */
} beside;

static lort_code see_beside(void *ctx, const char *name, lort_error *err)
{
    beside *b = ctx;
    lort_file_info info;
    bool exists;
    (void)err;
    if (name[0] != '.' && lort_name_tell(name, false) == LORT_NAME_PLAIN &&
        !lort_model_claims_weights(name) && !lort_model_claims_index(name) &&
        !lort_name_is_unfinished(name) && !lort_text_ends(name, ".lort") &&
        !is_added(b->model, name) &&
        (b->model->source ||
         (lort_os_follow(b->model->dir, name, &info, &exists, NULL) == LORT_OK && exists &&
          info.kind == LORT_FILE_REGULAR))) {
        lort_name_text_add(&b->names, name, (uint32_t)strlen(name));
        b->is_model |= strcmp(name, "config.json") == 0 || strncmp(name, "tokenizer", 9) == 0;
    }
    return LORT_OK;
}

void lort_side_note(lort_model *model, const char *name)
{
    beside b = {.model = model};
    char shown[300];
    lort_folder folder;
    if (!lort_text_ends(name, ".safetensors") || lort_model_names(model, &folder, NULL))
        return;
    for (uint32_t i = 0; i < folder.count; i++)
        see_beside(&b, folder.names[i], NULL);
    if (!b.is_model)
        return;
    lort_model_hold(model, "%s: side files are not taken: %s; name the directory to take them",
                    lort_escape_text(shown, sizeof shown, name), lort_name_text_end(&b.names));
}
