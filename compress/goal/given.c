/* given: see given.h. It owns the defaults of all options, and the sizes of public structs. */
#include "compress/goal/given.h"
#include "loader/store/codec.h"
#include <string.h>

/* No struct of options grows so large. A size above it is memory that nobody initialised. */
#define MOST_BYTES 4096

/* ---- defaults ---- */

static const lort_options compress_defaults = {.size = sizeof(lort_options),
                                               .max_rank = 256,
                                               .min_dim = 32,
                                               .fail_above = -1,
                                               .zstd_level = LORT_ZSTD_LEVEL_DEFAULT};
static const lort_quantize_options quantize_defaults = {.size = sizeof(lort_quantize_options)};
static const lort_extract_options extract_defaults = {.size = sizeof(lort_extract_options),
                                                      .max_rank = 256};
static const lort_merge_options merge_defaults = {
    .size = sizeof(lort_merge_options), .fail_above = -1, .wait = 60};
static const lort_run_options run_defaults = {.size = sizeof(lort_run_options)};
static const lort_verify_options verify_defaults = {.size = sizeof(lort_verify_options)};
static const lort_restore_options restore_defaults = {.size = sizeof(lort_restore_options)};
static const lort_files_options files_defaults = {.size = sizeof(lort_files_options)};

/* The bytes up to the end of the last member of the first version. */
#define UP_TO(type, last) (offsetof(type, last) + sizeof(((type *)0)->last))

static const lort_given compress_kind = {"lort_options_init", sizeof(lort_options),
                                         UP_TO(lort_options, sample), &compress_defaults};
static const lort_given quantize_kind = {
    "lort_quantize_options_init", sizeof(lort_quantize_options),
    UP_TO(lort_quantize_options, time_limit), &quantize_defaults};
static const lort_given extract_kind = {"lort_extract_options_init", sizeof(lort_extract_options),
                                        UP_TO(lort_extract_options, force), &extract_defaults};
static const lort_given merge_kind = {"lort_merge_options_init", sizeof(lort_merge_options),
                                      UP_TO(lort_merge_options, memory_bytes), &merge_defaults};
static const lort_given run_kind = {"lort_run_options_init", sizeof(lort_run_options),
                                    UP_TO(lort_run_options, base), &run_defaults};
static const lort_given verify_kind = {"lort_verify_options_init", sizeof(lort_verify_options),
                                       UP_TO(lort_verify_options, quick), &verify_defaults};
static const lort_given restore_kind = {"lort_restore_options_init", sizeof(lort_restore_options),
                                        UP_TO(lort_restore_options, force), &restore_defaults};
static const lort_given files_kind = {"lort_files_options_init", sizeof(lort_files_options),
                                      UP_TO(lort_files_options, tensor), &files_defaults};

/* Structs that the library fills or hands out keep their sizes: a new member takes the place of
 * reserved ones. A size that differs here breaks programs that are built already. */
#if defined(__LP64__)
#define KEEPS(type, bytes)                                                                         \
    _Static_assert(sizeof(type) == (bytes),                                                        \
                   #type " changed its size: take the place of reserved members")
KEEPS(lort_error, 2048);
KEEPS(lort_report, 2784);
KEEPS(lort_tensor_report, 248);
KEEPS(lort_source_report, 64);
KEEPS(lort_meta_report, 56);
KEEPS(lort_type_report, 128);
KEEPS(lort_hash_report, 40);
KEEPS(lort_sample_report, 40);
KEEPS(lort_phase_report, 32);
KEEPS(lort_option_report, 32);
KEEPS(lort_observer, 64);
KEEPS(lort_tensor_info, 144);
KEEPS(lort_restore_sink, 64);
KEEPS(lort_file_entry, 64);
#endif

/* ---- structs of any version ---- */

static size_t given_size(const void *given)
{
    size_t size;
    memcpy(&size, given, sizeof size);
    return size;
}

void lort_given_init(const lort_given *kind, void *out, size_t size)
{
    const size_t known = size < kind->known ? size : (size_t)kind->known;
    memset(out, 0, size);
    memcpy(out, kind->defaults, known);
    memcpy(out, &size, sizeof size);
}

static bool any_set(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i])
            return true;
    return false;
}

lort_code lort_given_take(const lort_given *kind, const void *given, void *out, lort_error *err)
{
    memcpy(out, kind->defaults, (size_t)kind->known);
    if (!given)
        return LORT_OK;
    const size_t size = given_size(given), known = (size_t)kind->known;
    if (size < kind->first || size > MOST_BYTES)
        return lort_fail(err, LORT_E_USAGE,
                         "options were not initialised (size %llu, at least %llu): call %s",
                         (unsigned long long)size, (unsigned long long)kind->first, kind->init);
    if (size > known && any_set((const uint8_t *)given + known, size - known))
        return lort_fail(err, LORT_E_USAGE,
                         "the library (LoRT %s) is older than the program, which sets an option "
                         "that the library does not know: install a newer LoRT",
                         LORT_VERSION);
    memcpy(out, given, size < known ? size : known);
    memcpy(out, &known, sizeof known);
    return LORT_OK;
}

static lort_code take(const lort_given *kind, const void *given, void *out, lort_report *report,
                      lort_error *err)
{
    if (report)
        *report = (lort_report){0};
    return lort_given_take(kind, given, out, err);
}

/* ---- one pair for each struct ---- */

void lort_options_init_sized(lort_options *options, size_t size)
{
    lort_given_init(&compress_kind, options, size);
}
lort_code lort_given_options(const lort_options *given, lort_options *out, lort_report *report,
                             lort_error *err)
{
    return take(&compress_kind, given, out, report, err);
}

void lort_quantize_options_init_sized(lort_quantize_options *options, size_t size)
{
    lort_given_init(&quantize_kind, options, size);
}
lort_code lort_given_quantize(const lort_quantize_options *given, lort_quantize_options *out,
                              lort_report *report, lort_error *err)
{
    return take(&quantize_kind, given, out, report, err);
}

void lort_merge_options_init_sized(lort_merge_options *options, size_t size)
{
    lort_given_init(&merge_kind, options, size);
}
lort_code lort_given_merge(const lort_merge_options *given, lort_merge_options *out,
                           lort_report *report, lort_error *err)
{
    return take(&merge_kind, given, out, report, err);
}

void lort_extract_options_init_sized(lort_extract_options *options, size_t size)
{
    lort_given_init(&extract_kind, options, size);
}
lort_code lort_given_extract(const lort_extract_options *given, lort_extract_options *out,
                             lort_report *report, lort_error *err)
{
    return take(&extract_kind, given, out, report, err);
}

void lort_run_options_init_sized(lort_run_options *options, size_t size)
{
    lort_given_init(&run_kind, options, size);
}
lort_code lort_given_run(const lort_run_options *given, lort_run_options *out, lort_report *report,
                         lort_error *err)
{
    return take(&run_kind, given, out, report, err);
}

void lort_verify_options_init_sized(lort_verify_options *options, size_t size)
{
    lort_given_init(&verify_kind, options, size);
}
lort_code lort_given_verify(const lort_verify_options *given, lort_verify_options *out,
                            lort_report *report, lort_error *err)
{
    return take(&verify_kind, given, out, report, err);
}

void lort_restore_options_init_sized(lort_restore_options *options, size_t size)
{
    lort_given_init(&restore_kind, options, size);
}
lort_code lort_given_restore(const lort_restore_options *given, lort_restore_options *out,
                             lort_report *report, lort_error *err)
{
    return take(&restore_kind, given, out, report, err);
}

void lort_files_options_init_sized(lort_files_options *options, size_t size)
{
    lort_given_init(&files_kind, options, size);
}
lort_code lort_given_files(const lort_files_options *given, lort_files_options *out,
                           lort_error *err)
{
    return lort_given_take(&files_kind, given, out, err);
}
