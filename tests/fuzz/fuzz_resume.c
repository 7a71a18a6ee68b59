/* Fuzz target: unfinished work that somebody changed, in the partial output and its journal. A run
 * that resumes it ends with the bytes of a run that nobody interrupted. Under a target for the size
 * the journal holds the shares. There the result has these bytes, or it is a container that passes
 * verify. Nothing is left beside it. A file that no longer begins as LoRT's files begin is refused,
 * and LoRT leaves both files byte for byte as they were.
 *
 * Input: how (bits: to a size, hashes of notes made right again, --resume, the part too), then
 * changes: offset u16, new value u8. The last two bytes cut the file. */
#define _GNU_SOURCE
#include "compress/lort.h"
#include "formats/base/bytes.h"
#include "formats/base/hash.h"
#include "fuzz_dir.h"
#include "loader/store/own.h"
#include "tests/unit/sized.h"

#define MOST (1 << 16)
enum { SIDE = 24, TENSORS = 3 };

typedef struct content {
    uint8_t bytes[MOST];
    size_t n;
} content;

static struct {
    content whole, part, journal;
} known[2]; /* by error, by size */

typedef struct stopping {
    unsigned asked, yes; /* stop at this question */
} stopping;

static bool stop(void *ctx)
{
    stopping *s = ctx;
    return ++s->asked == s->yes;
}

static content read_content(const char *name)
{
    content c = {.n = 0};
    FILE *in = fopen(fuzz_path(name), "rb");
    CHECK(in);
    c.n = fread(c.bytes, 1, MOST, in);
    CHECK(c.n < MOST);
    fclose(in);
    return c;
}

static bool is_same(const content *a, const content *b)
{
    return a->n == b->n && memcmp(a->bytes, b->bytes, a->n) == 0;
}

static lort_code run(bool sized, bool resume, stopping *s, lort_error *err)
{
    char from[600], to[600];
    lort_options options;
    lort_report report = {0};
    const lort_observer observer = {.event = NULL, .stop = stop, .ctx = s};
    lort_options_init(&options);
    options.goal = sized ? LORT_GOAL_SIZE : LORT_GOAL_ERROR;
    options.value = sized ? 80 : 0.1;
    options.min_dim = 8;
    options.threads = 1;
    options.memory_bytes = UINT64_C(1) << 30;
    options.mode = LORT_MODE_STREAM;
    options.resume = resume;
    strcpy(from, fuzz_path("m.safetensors"));
    strcpy(to, fuzz_path("out"));
    const lort_code code = lort_compress(from, to, &options, &observer, &report, err);
    lort_report_free(&report);
    return code;
}

static void write_model(void)
{
    const size_t each = SIDE * SIDE * sizeof(float);
    char head[400];
    uint8_t file[8 + sizeof head + TENSORS * SIDE * SIDE * sizeof(float)];
    int n = 0;
    for (size_t i = 0; i < TENSORS; i++)
        n += snprintf(head + n, sizeof head - (size_t)n,
                      "%s\"t%zu\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[%zu,%zu]}",
                      i ? "," : "{", i, SIDE, SIDE, i * each, (i + 1) * each);
    n += snprintf(head + n, sizeof head - (size_t)n, "}");
    lort_store_u64(file, (uint64_t)n);
    memcpy(file + 8, head, (size_t)n);
    for (size_t i = 0; i < TENSORS * SIDE * SIDE; i++) {
        const float value = (float)((i * 2654435761u >> 7) % 1000) / 500.0f - 1.0f;
        memcpy(file + 8 + n + i * sizeof value, &value, sizeof value);
    }
    fuzz_write("m.safetensors", file, 8 + (size_t)n + TENSORS * each);
}

/* Makes the output of a whole run, and the files of a run that stops at its last question but one.
 */
static void learn(void)
{
    /* a machine whose topology is quick to find */
    CHECK(setenv("HWLOC_SYNTHETIC", "core:1 pu:1", 1) == 0);
    write_model();
    for (int sized = 0; sized < 2; sized++) {
        stopping never = {0, 0};
        CHECK(run(sized, false, &never, NULL) == LORT_OK);
        known[sized].whole = read_content("out");
        fuzz_unlink("out");
        stopping late = {0, never.asked - 2};
        CHECK(run(sized, false, &late, NULL) == LORT_E_STOPPED);
        known[sized].part = read_content("out.part");
        known[sized].journal = read_content("out.part.journal");
        fuzz_unlink("out.part");
        fuzz_unlink("out.part.journal");
    }
}

static void change(content *c, const uint8_t *data, size_t size)
{
    for (; size >= 5; data += 3, size -= 3)
        c->bytes[lort_load_u16(data) % (c->n + 1)] = data[2];
    if (size >= 2 && lort_load_u16(data))
        c->n = lort_load_u16(data) % (c->n + 1);
}

/* Sets the hashes of notes (compress/write/journal.h), as far as their sizes lead. */
static void seal(content *c)
{
    for (size_t at = 0; c->n - at >= 24;) {
        const uint64_t bytes = lort_load_u32(c->bytes + at + 4);
        if (bytes > c->n - at - 24)
            break;
        lort_store_u64(c->bytes + at + 16 + bytes, lort_xxh64(c->bytes + at, 16 + bytes));
        at += 24 + bytes;
    }
}

static void check_output(bool sized)
{
    const lort_run_options alone = {RUN_SIZE, .memory_bytes = UINT64_C(1) << 30, .threads = 1};
    const content *whole = &known[sized].whole;
    content out = read_content("out");
    char path[600];
    lort_report report = {0};
    strcpy(path, fuzz_path("out"));
    CHECK(sized || is_same(&out, whole));
    CHECK(lort_verify(path, &(lort_verify_options){VERIFY_SIZE, .run = &alone}, NULL, &report,
                      NULL) == LORT_OK);
    lort_report_free(&report);
    fuzz_unlink("out");
    CHECK(access(fuzz_path("out.part"), F_OK) != 0 &&
          access(fuzz_path("out.part.journal"), F_OK) != 0);
}

/* True if the file begins with other bytes than LoRT left there. An empty file is LoRT's. */
static bool is_head_changed(const content *now, const content *was)
{
    const size_t n = now->n < LORT_OWN_HEAD ? now->n : LORT_OWN_HEAD;
    return n > was->n || memcmp(now->bytes, was->bytes, n) != 0;
}

/* The files may be foreign only if the head of one differs. Then nobody touched them. */
static void check_foreign(const content *part, const content *journal, bool sized)
{
    const content part_left = read_content("out.part"),
                  journal_left = read_content("out.part.journal");
    CHECK(is_head_changed(part, &known[sized].part) ||
          is_head_changed(journal, &known[sized].journal));
    CHECK(is_same(&part_left, part) && is_same(&journal_left, journal));
    CHECK(access(fuzz_path("out"), F_OK) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (known[0].whole.n == 0)
        learn();
    if (size < 1)
        return 0;
    const bool sized = data[0] & 1, resume = data[0] & 4;
    content part = known[sized].part, journal = known[sized].journal;
    stopping never = {0, 0};
    lort_error err = {0};
    change(data[0] & 8 ? &part : &journal, data + 1, size - 1);
    if (data[0] & 2)
        seal(&journal);
    fuzz_write("out.part", part.bytes, part.n);
    fuzz_write("out.part.journal", journal.bytes, journal.n);
    lort_code code = run(sized, resume, &never, &err);
    CHECK(code == LORT_OK || code == LORT_E_EXISTS ||
          (resume && (code == LORT_E_USAGE || code == LORT_E_READ)) ||
          (sized && code == LORT_E_NUMERIC));
    CHECK(code == LORT_OK || err.message[0]);
    if (code == LORT_OK)
        check_output(sized);
    if (code == LORT_E_EXISTS)
        check_foreign(&part, &journal, sized);
    (void)unlink(fuzz_path("out.part"));
    (void)unlink(fuzz_path("out.part.journal"));
    return 0;
}
