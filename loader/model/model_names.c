/* model_names: what the name of a file or folder says about its part in a model. The names are
 * those of the repositories of Hugging Face. Contents decide what weights are; a name decides only
 * what LoRT does not read. */
#include "formats/base/glob.h"
#include "formats/base/plain_path.h"
#include "formats/base/text.h"
#include "loader/model/model_tree.h"
#include <stdio.h>
#include <string.h>

static bool begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

static bool fits_any(const char *const *patterns, const char *name)
{
    while (*patterns && !lort_glob(*patterns, name))
        patterns++;
    return *patterns != NULL;
}

/* ---- copies in other frameworks ---- */

static const char *const copy_folders[] = {"onnx",        "openvino",   "coreml",
                                           "tflite",      "tensorrt",   "saved_model",
                                           "*.mlpackage", "*.mlmodelc", NULL};
static const char *const copy_files[] = {
    "*.pth",  "*.pt",        "*.ckpt",      "*.h5",           "*.msgpack",      "*.ot",
    "*.onnx", "*.onnx_data", "*.onnx.data", "*.tflite",       "*.mlmodel",      "*.pdparams",
    "*.pb",   "*.keras",     "*.engine",    "openvino_*.xml", "openvino_*.bin", NULL};
/* A .bin file may hold anything. These hold weights. */
static const char *const weight_bins[] = {"*model*", "*weights*", "consolidated*", NULL};
static const char *const other_bins[] = {"*token*", "*vocab*", "*spm*", NULL};
static const char *const pickles[] = {"*.pth", "*.pt", "*.ckpt", NULL};

static bool is_weight_bin(const char *name)
{
    return lort_text_ends(name, ".bin") && fits_any(weight_bins, name) &&
           !fits_any(other_bins, name);
}

bool lort_name_is_pickle(const char *name)
{
    return (is_weight_bin(name) && !begins(name, "openvino_")) || fits_any(pickles, name);
}

lort_name_class lort_name_tell(const char *name, bool folder)
{
    if (strcmp(name, ".git") == 0 || strcmp(name, ".cache") == 0)
        return LORT_NAME_NEVER;
    if (name[0] == '.')
        return strcmp(name, ".gitattributes") == 0 && !folder ? LORT_NAME_PLAIN : LORT_NAME_HIDDEN;
    if (folder)
        return fits_any(copy_folders, name) ? LORT_NAME_COPY : LORT_NAME_PLAIN;
    return fits_any(copy_files, name) || is_weight_bin(name) || lort_model_foreign_index(name)
               ? LORT_NAME_COPY
               : LORT_NAME_PLAIN;
}

/* ---- weights and folders ---- */

bool lort_name_is_save(const char *name)
{
    static const char *const saves[] = {"original", "metal", "checkpoint-*", "global_step*", NULL};
    return fits_any(saves, name);
}

bool lort_name_in_save(const char *path)
{
    char name[LORT_PLAIN_NAME_MAX + 1];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(path, "/"), path);
    return lort_name_is_save(name);
}

bool lort_name_is_temporary(const char *name)
{
    return name[0] == '.' &&
           (lort_text_ends(name, ".lort-lock") || lort_text_ends(name, ".lort-partial"));
}

bool lort_name_is_unfinished(const char *name)
{
    return lort_text_ends(name, ".part") || lort_text_ends(name, ".part.journal") ||
           lort_text_ends(name, ".part.writer");
}

unsigned lort_name_depth(const char *path)
{
    unsigned names = 1;
    for (; *path; path++)
        names += *path == '/';
    return names;
}

void lort_name_fault(const char *path, char *out, uint64_t cap)
{
    const char *base = lort_path_base(path), *fault = lort_plain_name_fault(base, strlen(base));
    if (fault)
        snprintf(out, cap, "its name %s", fault);
    else if (strlen(path) > LORT_PLAIN_PATH_MAX)
        snprintf(out, cap, "its path has %zu bytes, of which at most %u are allowed", strlen(path),
                 LORT_PLAIN_PATH_MAX);
    else
        snprintf(out, cap, "%s more than the %u names that are allowed",
                 lort_name_depth(path) > LORT_PLAIN_PATH_DEPTH ? "its path has"
                                                               : "a file below it has",
                 LORT_PLAIN_PATH_DEPTH);
}

bool lort_model_finds_index(const char *name)
{
    const char *base = lort_path_base(name);
    return lort_model_index_is_found(base) && lort_model_claims_index(base);
}
