/* Fuzz target: verify, inspect, compare and restore on one container whose hashes are all right,
 * however strange its records are (fuzz_repair.h). It holds:
 *
 *   - A container that verifies is restored in every type, and so is one of its tensors. LoRT opens
 *     the result, which has the same tensors and, in F32, the same numbers. The container equals
 *     itself. A value that does not fit F16 or BF16 is refused, never one in F32.
 *   - A container that does not verify is not restored as a whole.
 *   - Nothing outside the output changes (fuzz_canary.h). A restore that fails leaves nothing.
 *   - The process stays within run.memory_bytes.
 *   - No command runs long: libFuzzer's -timeout.
 *
 * Input: fuzz_loose.h. A restored model may have OUT_MOST bytes. A larger one is left out, unless
 * it is larger than any disk. */
#define _GNU_SOURCE
#include "compress/lort.h"
#include "fuzz_canary.h"
#include "fuzz_mutate.h"
#include "fuzz_repair.h"
#include "loader/os/os.h"
#include "tests/unit/sized.h"
#include <math.h>

#define OUT_MOST (4u << 20)                /* bytes of a restored model */
#define OUT_NEVER (UINT64_C(1) << 50)      /* no disk has as many */
#define WIDE_ERROR 1e-5                    /* relative, of a tensor in F32 */
#define MEMORY_BYTES (UINT64_C(64) << 20)  /* for a command, on top of what the process has */
#define MEMORY_BEYOND (UINT64_C(16) << 20) /* of sanitisers and of the C library */

const char *__asan_default_options(void);
/* Freed memory counts as used while ASan keeps it. So ASan keeps little. */
const char *__asan_default_options(void) { return "quarantine_size_mb=4"; }

static lort_codec *codec;
static lort_run_options limits = {RUN_SIZE, .threads = 1};

static char said[sizeof((lort_error *)NULL)->message]; /* of the last error */

/* FUZZ_SAY=1 tells what each command answered: to look into a finding. */
static void check_error(const char *command, lort_code code, const lort_error *err)
{
    if (getenv("FUZZ_SAY"))
        fprintf(stderr, "%s: exit %d%s%s\n", command, (int)code, code ? ", " : "",
                code ? err->message : "");
    CHECK(code == LORT_OK || (err->code == code && err->message[0] &&
                              lort_utf8_valid(err->message, strlen(err->message))));
    strcpy(said, err->message);
}

/* ---- memory ---- */

void __real_lort_os_process_memory(lort_process_memory *out);
void __wrap_lort_os_process_memory(lort_process_memory *out);

/* Stands for the library's function, which asks the cgroup too. A command asks a dozen times, and
 * would spend a fifth of its time on the answers. */
void __wrap_lort_os_process_memory(lort_process_memory *out)
{
    static int fd = -1;
    char text[200];
    unsigned long long size, resident, shared;
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    if (fd < 0)
        fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    const ssize_t n = pread(fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    if (sscanf(text, "%llu %llu %llu", &size, &resident, &shared) != 3) {
        __real_lort_os_process_memory(out);
        return;
    }
    *out = (lort_process_memory){.rss_bytes = resident * page,
                                 .peak_rss_bytes = resident * page,
                                 .anon_bytes = (resident - shared) * page,
                                 .file_bytes = shared * page,
                                 .virtual_bytes = size * page};
}

/* Bytes of a line of /proc/self/status; 0 if there is none. */
static uint64_t memory_of(const char *name)
{
    static char text[8192];
    const int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *line = strstr(text, name);
    return line ? strtoull(line + strlen(name) + 1, NULL, 10) << 10 : 0;
}

/* Lets the kernel count the peak anew, and sets the limit of the next command. */
static uint64_t memory_start(void)
{
    const int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    const bool anew = fd >= 0 && write(fd, "5", 1) == 1;
    close(fd);
    limits.memory_bytes = memory_of("RssAnon") + MEMORY_BYTES;
    return anew ? memory_of("VmRSS") : 0;
}

static void memory_check(uint64_t before, const char *command)
{
    const uint64_t peak = memory_of("VmHWM");
    if (before && peak > before + MEMORY_BYTES + MEMORY_BEYOND) {
        fprintf(stderr, "%s took %llu KiB\n", command, (unsigned long long)(peak - before) >> 10);
        CHECK(!"more memory than the limit");
    }
}

/* ---- the commands, one call each ---- */

static lort_code call_verify(const char *path)
{
    lort_report report = {0};
    lort_error err = {0};
    const uint64_t before = memory_start();
    const lort_code code =
        lort_verify(path, &(lort_verify_options){VERIFY_SIZE, .run = &limits}, NULL, &report, &err);
    memory_check(before, "verify");
    check_error("verify", code, &err);
    lort_report_free(&report);
    return code;
}

/* The caller frees the report. */
static lort_code call_inspect(const char *path, lort_report *report)
{
    lort_error err = {0};
    const uint64_t before = memory_start();
    const lort_code code = lort_inspect(path, &limits, NULL, report, &err);
    memory_check(before, "inspect");
    check_error("inspect", code, &err);
    return code;
}

/* No tensor differs by more than `most`. An error that is undefined says nothing. */
static lort_code call_compare(const char *a, const char *b, double most)
{
    lort_report report = {0};
    lort_error err = {0};
    const uint64_t before = memory_start();
    const lort_code code = lort_compare(a, b, -1, &limits, NULL, &report, &err);
    memory_check(before, "compare");
    check_error("compare", code, &err);
    for (uint64_t i = 0; i < report.tensor_count && code == LORT_OK; i++)
        CHECK(!(report.tensors[i].rel_error > most));
    lort_report_free(&report);
    return code;
}

static lort_code call_restore(const char *path, const char *to, const char *dtype,
                              const char *tensor)
{
    lort_report report = {0};
    lort_error err = {0};
    const uint64_t before = memory_start();
    const lort_restore_options options = {RESTORE_SIZE, .run = &limits, .dtype = dtype,
                                          .tensor = tensor};
    const lort_code code = lort_restore(path, to, &options, NULL, &report, &err);
    memory_check(before, "restore");
    check_error("restore", code, &err);
    lort_report_free(&report);
    return code;
}

/* ---- what must be true ---- */

static const lort_tensor_report *tensor_named(const lort_report *report, const char *name)
{
    for (uint64_t i = 0; i < report->tensor_count; i++)
        if (strcmp(report->tensors[i].name, name) == 0)
            return &report->tensors[i];
    return NULL;
}

/* The restored model has the numbers of the container. The order of sums is free, and a narrow type
 * rounds. */
static void check_numbers(const char *container, const char *result, const char *dtype)
{
    const bool wide = dtype && strcmp(dtype, "F32") == 0;
    const lort_code code = call_compare(container, result, wide ? WIDE_ERROR : INFINITY);
    CHECK(code == LORT_OK || code == LORT_E_NUMERIC || code == LORT_E_MEMORY);
}

/* The restored model opens, and has the tensors of the container. */
static void check_result(const char *path, const lort_report *inside, const char *dtype)
{
    lort_report result = {0};
    CHECK(call_inspect(path, &result) == LORT_OK);
    CHECK(result.tensor_count == inside->tensor_count);
    for (uint64_t i = 0; i < inside->tensor_count; i++) {
        const lort_tensor_report *was = &inside->tensors[i], *is = tensor_named(&result, was->name);
        CHECK(is && is->n_dims == was->n_dims);
        CHECK(memcmp(is->shape, was->shape, was->n_dims * sizeof *was->shape) == 0);
        if (was->action == LORT_ACTION_KEPT)
            CHECK(strcmp(is->dtype, was->dtype) == 0 && is->bytes_in == was->bytes_in);
        else if (dtype)
            CHECK(strcmp(is->dtype, dtype) == 0);
    }
    lort_report_free(&result);
}

/* True if a tensor is written in a type that does not hold every number of F32. Without dtype the
 * tensors keep their own types, or get F16. */
static bool is_narrow(const lort_report *inside, const char *dtype)
{
    bool narrow = false;
    for (uint64_t i = 0; i < inside->tensor_count; i++)
        narrow |= inside->tensors[i].action != LORT_ACTION_KEPT &&
                  strcmp(dtype ? dtype : inside->tensors[i].dtype, "F32") != 0;
    return narrow;
}

/* Documented refusals of a container that verifies: memory, and a value that does not fit a narrow
 * type. The headers here are too short for the third: a header beyond 100 MB (exit 2). */
static bool may_refuse(const lort_report *inside, lort_code code, const char *dtype)
{
    return code == LORT_E_MEMORY ||
           (code == LORT_E_NUMERIC && is_narrow(inside, dtype) && strstr(said, " does not fit "));
}

static void run_restore(const char *path, const lort_report *inside, const char *dtype,
                        const char *tensor, lort_code verified, const canary_picture *before)
{
    char to[600];
    strcpy(to, fuzz_path("out/new"));
    const lort_code code = call_restore(path, to, dtype, tensor);
    if (verified == LORT_OK)
        CHECK(code == LORT_OK || may_refuse(inside, code, dtype));
    else
        CHECK(code != LORT_OK || tensor || verified == LORT_E_MEMORY);
    if (code == LORT_OK) {
        if (!tensor) {
            check_result(to, inside, dtype);
            check_numbers(path, to, dtype);
        }
        CHECK(nftw(to, fuzz_remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
    }
    canary_check(before);
}

/* The bytes of the restored model in F32, at most; UINT64_MAX: more. */
static uint64_t out_bytes(const loose *c)
{
    uint64_t sum = 0, elements, bytes;
    for (uint32_t i = 0; i < c->count; i++) {
        const lort_part *part = &c->parts[i].part;
        if (!lort_layout_elements(part->dims, part->n_dims, &elements) ||
            !lort_mul_u64(elements, sizeof(float), &bytes) || !lort_add_u64(sum, bytes, &sum) ||
            !lort_add_u64(sum, part->source_bytes, &sum))
            return UINT64_MAX;
    }
    return sum;
}

/* Returns the name of one tensor that --tensor can name, or NULL. */
static const char *some_tensor(const loose *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        const lort_part *part = &c->parts[(i + c->which) % c->count].part;
        if (part->tensor && part->name_bytes && !memchr(part->name, 0, part->name_bytes))
            return part->name;
    }
    return NULL;
}

static void run_restores(const char *path, const loose *c, const lort_report *inside,
                         lort_code verified, const canary_picture *before)
{
    static const char *const types[] = {"F32", "F16", "BF16"};
    const char *type = types[c->which % 3u];
    const uint64_t bytes = out_bytes(c);
    const char *tensor = some_tensor(c);
    if (bytes > OUT_NEVER && verified == LORT_OK) {
        char to[600];
        strcpy(to, fuzz_path("out/new"));
        const lort_code code = call_restore(path, to, NULL, NULL);
        CHECK(code == LORT_E_WRITE || code == LORT_E_MEMORY);
        canary_check(before);
    }
    if (bytes > OUT_MOST)
        return;
    run_restore(path, inside, type, NULL, verified, before);
    if (verified == LORT_OK || c->which & 8)
        run_restore(path, inside, NULL, NULL, verified, before);
    if (tensor && c->which & 4)
        run_restore(path, inside, c->which & 8 ? type : NULL, tensor, verified, before);
}

static bool is_refusal(lort_code code)
{
    return code == LORT_E_DAMAGED || code == LORT_E_INPUT || code == LORT_E_MEMORY;
}

static void run_all(const char *path, const loose *c, const canary_picture *before)
{
    lort_report inside = {0};
    const lort_code listed = call_inspect(path, &inside), verified = call_verify(path),
                    compared = call_compare(path, path, 0);
    CHECK(listed == LORT_OK || (is_refusal(listed) && is_refusal(verified)));
    CHECK(verified == LORT_OK || is_refusal(verified));
    CHECK(compared == LORT_OK || compared == LORT_E_NUMERIC || compared == LORT_E_MEMORY ||
          (is_refusal(compared) && verified != LORT_OK));
    canary_check(before);
    run_restores(path, c, &inside, verified, before);
    lort_report_free(&inside);
}

/* ---- the target ---- */

static canary_picture tree;

static void start(void)
{
    CHECK(lort_codec_open(1, &codec, NULL) == LORT_OK);
    CHECK(setenv("HWLOC_SYNTHETIC", "core:1 pu:1", 1) == 0); /* quick to find */
    canary_make();
    fuzz_write("a.lort", "", 0);
    canary_look(&tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    loose c;
    lort_buffer file = {.alloc = &lort_alloc_heap};
    canary_picture before;
    char path[600];
    if (!codec)
        start();
    loose_get(&c, data, size);
    repair_write(&c, codec, &file);
    strcpy(path, fuzz_write("a.lort", file.data, file.size));
    canary_look(&before);
    run_all(path, &c, &before);
    lort_buffer_free(&file);
    loose_free(&c);
    return 0;
}
