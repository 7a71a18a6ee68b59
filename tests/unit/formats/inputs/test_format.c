/* Tests how LoRT detects formats, and its messages about files of no known format. */
#include "formats/inputs/header.h"
#include "tests/unit/main.h"
#include "tests/unit/malformed.h"

#define TEXT(literal) literal, sizeof(literal) - 1

static const struct look {
    const char *name, *head;
    uint64_t bytes;
    const char *expected;
} looks[] = {
    {"Git LFS pointer", TEXT("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"),
     "Git LFS pointer, not the model itself: run git lfs pull"},
    {"ZIP", TEXT("PK\3\4.........................."),
     "a ZIP archive, most likely a PyTorch checkpoint"},
    {"pickle", TEXT("\x80\2}q\0........................."), "a Python pickle"},
    {"pickle 4", TEXT("\x80\4\x95........................"), "a Python pickle"},
    {"HTML", TEXT("<!DOCTYPE html><html><body>404</body></html>"),
     "an HTML page: the download gave an error page"},
    {"HTML in small letters", TEXT("<!doctype html>\n<html lang=en>"), "an HTML page"},
    {"XML", TEXT("<?xml version=\"1.0\"?><Error/>."), "an XML page"},
    {"GGML", TEXT("lmgg\0\0\0\0...................."), "a GGML file"},
    {"GGMF", TEXT("fmgg\1\0\0\0...................."), "a GGMF file"},
    {"GGJT", TEXT("tjgg\3\0\0\0...................."), "a GGJT file"},
    {"GGLA", TEXT("algg\1\0\0\0...................."), "a GGLA adapter"},
    {"FUGG", TEXT("FUGG\0\0\0\1...................."), "FUGG"},
    {"gzip", TEXT("\x1f\x8b\x08........................."), "compressed with gzip"},
    {"zstd", TEXT("\x28\xb5\x2f\xfd........................"), "compressed with zstd"},
    {"xz",
     TEXT("\xfd"
          "7zXZ\0......................"),
     "compressed with xz"},
    {"HDF5", TEXT("\x89HDF\r\n\x1a\n...................."), "an HDF5 file"},
    {"NumPy", TEXT("\x93NUMPY......................"), "a NumPy array"},
    {"JSON", TEXT("{\"model_type\": \"llama\", \"x\": 1}"), "JSON text"},
    {"LoRT container", TEXT("\x50\x2a\x4d\x18............................LORT\r\n\x1a\n"),
     "a LoRT container: use restore"},
    {"text", TEXT("What is this file, after all?\n"),
     "neither GGUF nor safetensors: the file begins with 'What is '"},
    {"zeros", TEXT("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
     "begins with '\\x00"},
    {"one byte", TEXT("G"), "file too short for a header (1 < 24 bytes)"},
    {"three bytes", TEXT("GGU"), "file too short for a header (3 < 24 bytes)"},
    {"nothing", TEXT(""), "the file is empty"},
};

static void test_refusals(void **state)
{
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++)
        expect_refusal(looks[i].name, looks[i].head, looks[i].bytes, looks[i].expected);
}

static void test_tar(void **state)
{
    char tar[512] = "model.gguf";
    memcpy(tar + 257, "ustar", 5);
    expect_refusal("tar", tar, sizeof tar, "a tar archive");
}

static const char *told(const char *head, uint64_t n, uint64_t file_size)
{
    const lort_format *format;
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, head, n);
    lort_code code = lort_format_tell(copy, n, file_size, &format, NULL);
    free(copy);
    assert_int_equal(code == LORT_OK, format != NULL);
    return format ? format->name : "none";
}

static void test_told(void **state)
{
    assert_string_equal(told("GGUF", 4, 4), "gguf");
    assert_string_equal(told("GGUF\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24, 24), "gguf");
    assert_string_equal(told("\2\0\0\0\0\0\0\0{}", 10, 10), "safetensors");
    /* This file begins with '{' too. */
    assert_string_equal(told("\x7b\0\0\0\0\0\0\0{\"a\":", 13, 200), "safetensors");
    /* The parser of safetensors refuses this file. */
    assert_string_equal(told("\3\0\0\0\0\0\0\0 {}", 11, 11), "safetensors");
    assert_string_equal(told("\x82\0\0\0\0\0\0\0{}", 10, 10), "safetensors");
    assert_string_equal(told("GGUX", 4, 4), "none");
    assert_string_equal(told("", 0, 0), "none");
}

static void test_table(void **state)
{
    uint32_t n = 0;
    while (lort_format_at(n)) {
        assert_non_null(lort_format_at(n)->name);
        n++;
    }
    assert_int_equal(n, 2);
    lort_header_free(NULL);
}

/* With too few bytes at hand the parser wants the head, for any size of the file. */
static void test_wanted(void **state)
{
    lort_header h;
    uint64_t wanted;
    assert_int_equal(lort_header_parse(NULL, 0, 1u << 30, &lort_alloc_heap, &h, &wanted, NULL),
                     LORT_E_INPUT);
    assert_int_equal(wanted, LORT_FORMAT_HEAD);
    assert_int_equal(
        lort_header_parse((const uint8_t *)"GGUF", 4, 100, &lort_alloc_heap, &h, &wanted, NULL),
        LORT_E_INPUT);
    assert_int_equal(wanted, 100);
    assert_int_equal(lort_header_parse(NULL, 0, 0, &lort_alloc_heap, &h, &wanted, NULL),
                     LORT_E_INPUT);
    assert_int_equal(wanted, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_tar),    cmocka_unit_test(test_told),
        cmocka_unit_test(test_table),    cmocka_unit_test(test_wanted),
    };
    return run_chosen(tests, NULL, NULL);
}
