/* lort_verify finds every change of a container's bytes: every flipped bit, every cut, and bytes
 * that are put before, behind or between. Each is tried on a small container of each kind that LoRT
 * writes.
 *
 * lort_verify looks at the machine first (hwloc, /proc, threads), which takes longer than all the
 * rest. So the test does that once per container, on the sound file. For each fault it runs only
 * lort_archive_open and lort_reading_verify, which are the other steps of lort_verify. The last
 * test compares the two ways. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/read/reading.h"
#include "compress/session/report.h"
#include "formats/types/half.h"
#include "tests/unit/command_fixture.h"
#include "tests/unit/main.h"
#include "tests/unit/sized.h"

enum { ROWS = 64, COLS = 32, SIZE = ROWS * COLS };
/* One bit or place in so many. They are odd, so all bits of a byte occur. Wine takes 20 ms to open
 * a file. */
#if defined(_WIN32)
enum { EVERY = 401 };
#else
enum { EVERY = SANITIZED ? 13 : 1 };
#endif

static float low_rank[SIZE], noise[SIZE], near[SIZE];
static const lort_run_options alone = {RUN_SIZE, .threads = 1};
static const lort_verify_options checking = {VERIFY_SIZE,
                                             .run = &(lort_run_options){RUN_SIZE, .threads = 1}};

static int fill(void **state)
{
    tiny_fill_rank(low_rank, ROWS, COLS, 2, 1);
    tiny_fill_noise(noise, SIZE, 2);
    for (int i = 0; i < SIZE; i++)
        near[i] = low_rank[i] + 0.3f * noise[i];
    return 0;
}

/* ---- a container of each kind, as "sound.lort" ---- */

static void make(const char *model, const lort_options *options)
{
    compress_to(model, "sound.lort", options);
}

static void make_raw(void)
{
    static const tiny_tensor tensors[] = {TINY("norm.weight", "F32", 24), TINY("ids", "I64", 5),
                                          TINY("w", "BF16", 6, 20), TINY("none", "F16", 0, 3)};
    lort_options options = options_rank(1);
    options.goal = LORT_GOAL_LOSSLESS;
    tiny_safetensors(dir, "m", tensors, 4);
    make("m", &options);
}

static void make_factors(void)
{
    const tiny_tensor tensors[] = {{"a", "F32", 2, {ROWS, COLS}, low_rank},
                                   {"experts", "F16", 3, {2, ROWS / 2, COLS}, low_rank}};
    const lort_options options = options_rank(2);
    tiny_safetensors(dir, "m", tensors, 2);
    make("m", &options);
}

/* An importance matrix, in the legacy form, that makes column scales save space. */
static void write_importance(void)
{
    lort_buffer b = {.alloc = &lort_alloc_heap};
    uint64_t seed = 7;
    lort_put_u32(&b, 1);
    lort_put_u32(&b, 1);
    lort_put_bytes(&b, "w", 1);
    lort_put_u32(&b, 1);
    lort_put_u32(&b, COLS);
    for (int c = 0; c < COLS; c++)
        lort_put_u32(&b, lort_to_bits((float)exp2(2 * tiny_noise(&seed))));
    tiny_write_buffer(dir, "imatrix", &b);
}

static void make_integers(void)
{
    const tiny_tensor tensors[] = {{"w", "F32", 2, {ROWS, COLS}, noise},
                                   {"v", "F32", 2, {ROWS / 2, COLS}, near}};
    lort_options options = options_rank(1);
    options.goal = LORT_GOAL_ERROR;
    options.value = 0.3;
    options.imatrix = tiny_path(dir, "imatrix");
    write_importance();
    tiny_gguf(dir, "m", tensors, 2, NULL);
    make("m", &options);
}

static void make_trits(void)
{
    const tiny_tensor tensors[] = {{"a", "F32", 2, {ROWS, COLS}, near},
                                   {"b", "F16", 2, {ROWS, COLS}, noise}};
    lort_options options = options_rank(2);
    options.residual = LORT_RESIDUAL_TERNARY;
    tiny_safetensors(dir, "m", tensors, 2);
    make("m", &options);
}

static void make_files(void)
{
    static const char *const pairs[] = {"a", "x-1.safetensors", "b", "x-2.safetensors", NULL};
    const tiny_tensor tensors[] = {{"a", "F32", 2, {ROWS / 2, COLS}, noise}, TINY("b", "F16", 9)};
    lort_options options = options_rank(1);
    options.goal = LORT_GOAL_ERROR;
    options.value = 0.2;
    assert_int_equal(mkdir(tiny_path(dir, "d"), 0755), 0);
    tiny_safetensors(dir, "d/x-1.safetensors", tensors, 1);
    tiny_safetensors(dir, "d/x-2.safetensors", tensors + 1, 1);
    tiny_index(dir, "d/x.safetensors.index.json", pairs);
    tiny_text(dir, "d/config.json", "{\"architectures\":[\"Test\"]}");
    make("d", &options);
}

static const struct kind {
    const char *name;
    void (*make)(void);
    /* at least so many files must have this term, with scaled columns or without */
    lort_term_kind term;
    bool scaled;
    uint32_t files;
} kinds[] = {
    {"raw", make_raw, LORT_TERM_RAW, false, 1},
    {"factors", make_factors, LORT_TERM_FACTORS, false, 1},
    {"integers with scaled columns", make_integers, LORT_TERM_INTEGERS, true, 1},
    {"trits", make_trits, LORT_TERM_TERNARY, false, 1},
    {"several files", make_files, LORT_TERM_INTEGERS, false, 4},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* ---- verifying ---- */

static lort_reading reading; /* of the sound container */
static lort_report report;
static lort_buffer sound;

static bool has_term(const struct kind *kind)
{
    for (uint64_t i = 0; i < lort_archive_count(reading.archive); i++) {
        const lort_part *part = lort_archive_part(reading.archive, i);
        for (uint32_t t = 0; t < part->term_count; t++)
            if (part->tensor && part->terms[t].kind == kind->term &&
                part->terms[t].scaled == kind->scaled)
                return true;
    }
    return false;
}

static lort_code verify(lort_error *err)
{
    lort_archive *archive, *first = reading.archive;
    lort_block_need need = {0};
    lort_code code = lort_archive_open(tiny_path(dir, "x.lort"), &lort_alloc_heap, &archive, err);
    if (code)
        return code;
    lort_archive_block_need(archive, &need);
    /* the buffers of the sound container are large enough */
    assert_true(lort_archive_count(archive) == lort_archive_count(first) &&
                lort_archive_chunk_max(archive) <= reading.session.scratch[0].size &&
                lort_block_space_bytes(&need) <= lort_block_space_bytes(&reading.blocks));
    reading.archive = archive;
    code = lort_reading_verify(&reading, err);
    reading.archive = first;
    lort_archive_close(archive);
    return code;
}

static void write_file(const uint8_t *bytes, uint64_t n) { tiny_write(dir, "x.lort", bytes, n); }

static void begin(const struct kind *kind)
{
    lort_error err = {0};
    dir_open(NULL);
    kind->make();
    sound = file_read("sound.lort");
    report = (lort_report){0};
    assert_code(lort_reading_open(&reading, LORT_COMMAND_VERIFY, tiny_path(dir, "sound.lort"),
                                  &alone, NULL, &report, &err),
                LORT_OK, &err);
    assert_code(lort_reading_start(&reading, &alone, 0, NULL, NULL, &err), LORT_OK, &err);
    assert_true(has_term(kind) && lort_archive_model(reading.archive)->file_count >= kind->files);
    write_file(sound.data, sound.size);
    assert_code(verify(&err), LORT_OK, &err);
}

static void end(void)
{
    lort_reading_close(&reading);
    lort_report_free(&report);
    lort_buffer_free(&sound);
    dir_close(NULL);
}

/* The container must count as damaged. A head with another version or other features may also be
 * input that this reader does not know. */
static void must_refuse(const struct kind *kind, const char *what, uint64_t at, bool in_head)
{
    lort_error err = {0};
    const lort_code code = verify(&err);
    if (code != LORT_E_DAMAGED && !(in_head && code == LORT_E_INPUT))
        fail_msg("%s: %s %llu: code %d: %s", kind->name, what, (unsigned long long)at, (int)code,
                 err.message);
    assert_true(err.code == code && err.message[0]);
}

static void put_byte(FILE *file, uint64_t at, uint8_t byte)
{
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    assert_int_equal(fputc(byte, file), byte);
    assert_int_equal(fflush(file), 0);
}

/* ---- faults ---- */

static void flip_all(const struct kind *kind)
{
    uint64_t flips = 0;
    FILE *file = fopen(tiny_path(dir, "x.lort"), "r+b");
    assert_non_null(file);
    for (uint64_t bit = 0; bit < 8 * sound.size; bit += EVERY, flips++) {
        put_byte(file, bit / 8, (uint8_t)(sound.data[bit / 8] ^ 1u << bit % 8));
        must_refuse(kind, "flipped bit", bit, bit < 8 * LORT_HEADER_BYTES);
        put_byte(file, bit / 8, sound.data[bit / 8]);
    }
    fclose(file);
    print_message("# %s: %llu bytes, %llu flips: one of %d bits\n", kind->name,
                  (unsigned long long)sound.size, (unsigned long long)flips, EVERY);
}

static void every_flipped_bit_is_found(void **state)
{
    for (int k = 0; k < KINDS; k++) {
        lort_error err = {0};
        begin(&kinds[k]);
        flip_all(&kinds[k]);
        assert_code(verify(&err), LORT_OK, &err); /* all bits were put back */
        end();
    }
}

static void every_shorter_file_is_found(void **state)
{
    for (int k = 0; k < KINDS; k++) {
        begin(&kinds[k]);
        for (uint64_t n = sound.size; n-- > 0;) {
            if (n % EVERY && n > LORT_HEADER_BYTES)
                continue;
            assert_int_equal(truncate(tiny_path(dir, "x.lort"), (off_t)n), 0);
            must_refuse(&kinds[k], "cut to", n, false);
        }
        end();
    }
}

/* Writes bytes, then other bytes; either may be empty. */
static void write_both(const uint8_t *first, uint64_t n, const uint8_t *second, uint64_t m)
{
    lort_buffer both = {.alloc = &lort_alloc_heap};
    lort_put_bytes(&both, first, n);
    lort_put_bytes(&both, second, m);
    tiny_write_buffer(dir, "x.lort", &both);
}

static void what_follows_or_precedes_is_found(void **state)
{
    static const uint8_t zeros[300];
    for (int k = 0; k < KINDS; k++) {
        begin(&kinds[k]);
        for (uint64_t n = 1; n <= sizeof zeros; n += n < 16 ? 1 : 71) {
            write_both(sound.data, sound.size, zeros, n);
            must_refuse(&kinds[k], "zeros behind", n, false);
            write_both(sound.data, sound.size, sound.data, n);
            must_refuse(&kinds[k], "its own start behind", n, false);
            write_both(sound.data, sound.size, sound.data + sound.size - n, n);
            must_refuse(&kinds[k], "its own end behind", n, false);
            write_both(zeros, n, sound.data, sound.size);
            must_refuse(&kinds[k], "zeros before", n, true);
            write_both(sound.data, n, sound.data, sound.size);
            must_refuse(&kinds[k], "its own start before", n, true);
        }
        write_both(sound.data, sound.size, sound.data, sound.size);
        must_refuse(&kinds[k], "two of them", 2, false);
        end();
    }
}

/* Puts a container of one kind behind that of another. */
static void two_containers_are_none(void **state)
{
    lort_buffer before = {.alloc = &lort_alloc_heap};
    for (int k = 0; k <= KINDS; k++) {
        begin(&kinds[k % KINDS]);
        if (before.size) {
            write_both(before.data, before.size, sound.data, sound.size);
            must_refuse(&kinds[k % KINDS], "behind another, of bytes", before.size, false);
        }
        lort_buffer_free(&before);
        before = (lort_buffer){.alloc = &lort_alloc_heap};
        lort_put_bytes(&before, sound.data, sound.size);
        end();
    }
    lort_buffer_free(&before);
}

/* Removes a byte at every place, and inserts one. */
static void a_byte_more_or_less_is_found(void **state)
{
    for (int k = 0; k < KINDS; k++) {
        lort_buffer more = {.alloc = &lort_alloc_heap};
        begin(&kinds[k]);
        for (uint64_t at = 0; at < sound.size; at += EVERY) {
            write_both(sound.data, at, sound.data + at + 1, sound.size - at - 1);
            must_refuse(&kinds[k], "without byte", at, at < LORT_HEADER_BYTES);
            more.size = 0;
            lort_put_bytes(&more, sound.data, at);
            lort_put_u8(&more, sound.data[at]);
            write_both(more.data, more.size, sound.data + at, sound.size - at);
            must_refuse(&kinds[k], "twice byte", at, at < LORT_HEADER_BYTES);
        }
        lort_buffer_free(&more);
        end();
    }
}

/* ---- lort_verify itself ---- */

/* lort_verify must give the same code and the same message. Places are 97 bits apart, so that every
 * bit of a byte and every part of the file occurs. */
static void the_pieces_are_what_verify_runs(void **state)
{
    for (int k = 0; k < KINDS; k++) {
        begin(&kinds[k]);
        FILE *file = fopen(tiny_path(dir, "x.lort"), "r+b");
        assert_non_null(file);
        for (uint64_t bit = 0; bit < 8 * sound.size; bit += 97 * EVERY) {
            lort_error pieces = {0}, whole = {0};
            lort_report found = {0};
            put_byte(file, bit / 8, (uint8_t)(sound.data[bit / 8] ^ 1u << bit % 8));
            const lort_code code = verify(&pieces);
            assert_code(lort_verify(tiny_path(dir, "x.lort"), &checking, NULL, &found, &whole),
                        code, &whole);
            assert_string_equal(whole.message, pieces.message);
            lort_report_free(&found);
            put_byte(file, bit / 8, sound.data[bit / 8]);
        }
        fclose(file);
        lort_report found = {0};
        lort_error err = {0};
        assert_code(lort_verify(tiny_path(dir, "x.lort"), &checking, NULL, &found, &err), LORT_OK,
                    &err);
        lort_report_free(&found);
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_flipped_bit_is_found),
        cmocka_unit_test(every_shorter_file_is_found),
        cmocka_unit_test(what_follows_or_precedes_is_found),
        cmocka_unit_test(two_containers_are_none),
        cmocka_unit_test(a_byte_more_or_less_is_found),
        cmocka_unit_test(the_pieces_are_what_verify_runs),
    };
    return run_chosen(tests, fill, NULL);
}
