/* os on Windows: what the tests of the other systems cannot say. Runs under Wine too; a test that
 * needs the one or the other skips itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/os/windows/os_windows.h"
#include "tests/unit/main.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xmmintrin.h>

/* ---- a fresh directory for every test ---- */
typedef struct place {
    char path[400];
    lort_dir *dir;
} place;

static lort_code remove_tree(void *ctx, const char *name, lort_error *err)
{
    lort_dir *dir = ctx, *inner;
    if (lort_os_remove(dir, name, false, NULL) == LORT_OK)
        return LORT_OK;
    if (lort_os_dir_enter(dir, name, &inner, err) == LORT_OK) {
        (void)lort_os_dir_list(inner, remove_tree, inner, err);
        lort_os_dir_close(inner);
    }
    return lort_os_remove(dir, name, true, err);
}

static int setup(void **state)
{
    static int count;
    place *p = calloc(1, sizeof *p);
    wchar_t temp[300];
    char *text, name[80];
    lort_dir *parent;
    const DWORD n = GetTempPathW(300, temp);
    if (n == 0 || lort_os_narrow(temp, n, &text))
        return -1;
    snprintf(name, sizeof name, "lort-os-%lu-%d", (unsigned long)GetCurrentProcessId(), count++);
    snprintf(p->path, sizeof p->path, "%s%s", text, name);
    *state = p;
    const bool made = lort_os_dir_open(text, &parent, NULL) == LORT_OK &&
                      lort_os_make_dir(parent, name, 0700, NULL) == LORT_OK;
    lort_os_dir_close(parent);
    free(text);
    return made && lort_os_dir_open(p->path, &p->dir, NULL) == LORT_OK ? 0 : -1;
}

static int teardown(void **state)
{
    place *p = *state;
    lort_dir *parent;
    const char *name;
    bool clean = lort_os_dir_list(p->dir, remove_tree, p->dir, NULL) == LORT_OK;
    lort_os_dir_close(p->dir);
    clean = lort_os_dir_of(p->path, &parent, &name, NULL) == LORT_OK &&
            lort_os_remove(parent, name, true, NULL) == LORT_OK && clean;
    lort_os_dir_close(parent);
    free(p);
    return clean ? 0 : -1;
}

static const char *in(const place *p, const char *name)
{
    static char path[1600];
    snprintf(path, sizeof path, "%s/%s", p->path, name);
    return path;
}

static lort_file *make(place *p, const char *name, const void *content, uint64_t n)
{
    lort_file *file = NULL;
    lort_error err = {0};
    if (lort_os_create(p->dir, name, 0644, &file, &err))
        fail_msg("%s", err.message);
    assert_int_equal(lort_os_write(file, content, n, 0, &err), LORT_OK);
    return file;
}

static void make_closed(place *p, const char *name, const char *text)
{
    assert_int_equal(lort_os_close(make(p, name, text, strlen(text)), NULL), LORT_OK);
}

static bool is_there(place *p, const char *name)
{
    lort_file_info info;
    bool exists = false;
    assert_int_equal(lort_os_look(p->dir, name, &info, &exists, NULL), LORT_OK);
    return exists;
}

static void expect_content(place *p, const char *name, const char *text)
{
    char found[64];
    assert_true(lort_os_read_text(in(p, name), found, sizeof found));
    assert_string_equal(found, text);
}

static bool under_wine(void)
{
    return GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version") != NULL;
}

typedef struct seen {
    char names[8][300];
    int count;
} seen;

static lort_code note(void *ctx, const char *name, lort_error *err)
{
    seen *s = ctx;
    (void)err;
    assert_in_range(s->count, 0, 7);
    snprintf(s->names[s->count++], sizeof s->names[0], "%s", name);
    return LORT_OK;
}

/* ---- files ---- */
static void files_are_read_and_written(void **state)
{
    place *p = *state;
    char got[16] = "";
    lort_file *file = make(p, "file", "0123456789", 10);
    lort_file_info info, named;
    lort_error err = {0};
    bool exists;
    assert_int_equal(lort_os_read(file, got, 4, 3, &err), LORT_OK);
    assert_memory_equal(got, "3456", 4);
    assert_int_equal(lort_os_read(file, got, 10, 5, &err), LORT_E_READ);
    assert_non_null(strstr(err.message, "file shrank"));
    assert_int_equal(lort_os_read(file, got, 1, UINT64_MAX, &err), LORT_E_READ);
    assert_int_equal(lort_os_write(file, got, 1, INT64_MAX, &err), LORT_E_WRITE);
    assert_int_equal(lort_os_truncate(file, 5, &err), LORT_OK);
    assert_int_equal(lort_os_truncate(file, UINT64_MAX, &err), LORT_E_WRITE);
    assert_int_equal(lort_os_sync(file, &err), LORT_OK);
    assert_int_equal(lort_os_dir_sync(p->dir, &err), LORT_OK);
    assert_int_equal(lort_os_info(file, &info, &err), LORT_OK);
    assert_int_equal(lort_os_stat(in(p, "file"), &named, &exists, &err), LORT_OK);
    assert_true(exists && named.size == 5 && named.inode == info.inode && info.inode != 0 &&
                info.mtime_ns > INT64_C(1600000000000000000) && info.kind == LORT_FILE_REGULAR);
    assert_true(lort_os_time_ns() - info.mtime_ns < INT64_C(60000000000));
    lort_os_close(file, NULL);

    assert_int_equal(lort_os_open(p->dir, "file", &file, &err), LORT_OK);
    assert_int_equal(lort_os_write(file, "x", 1, 0, &err), LORT_E_WRITE); /* open for reading */
    lort_os_close(file, NULL);
    assert_int_equal(lort_os_open(p->dir, "none", &file, &err), LORT_E_INPUT);
    assert_non_null(strstr(err.message, "ile not found")); /* Wine */
    assert_int_equal(lort_os_create(p->dir, "file", 0600, &file, &err), LORT_E_EXISTS);
    assert_int_equal(lort_os_open_found(p->dir, "none", &file, &err), LORT_OK);
    assert_null(file);
    assert_int_equal(lort_os_make_dir(p->dir, "folder", 0700, &err), LORT_OK);
    assert_int_equal(lort_os_make_dir(p->dir, "folder", 0700, &err), LORT_E_EXISTS);
    assert_int_equal(lort_os_open(p->dir, "folder", &file, &err), LORT_E_INPUT);
    assert_non_null(strstr(err.message, "is a directory"));
    assert_int_equal(lort_os_open_found(p->dir, "folder", &file, &err), LORT_E_EXISTS);
}

static void a_file_that_changed_is_told(void **state)
{
    place *p = *state;
    lort_file *file = make(p, "file", "abc", 3), *again = NULL;
    lort_file_info was;
    lort_error err = {0};
    assert_int_equal(lort_os_info(file, &was, NULL), LORT_OK);
    lort_os_close(file, NULL);
    assert_int_equal(lort_os_open_again(p->dir, "file", &was, &again, &err), LORT_OK);
    lort_os_close(again, NULL);
    assert_int_equal(lort_os_remove(p->dir, "file", false, &err), LORT_OK);
    make_closed(p, "other", "abcd");
    assert_int_equal(lort_os_rename(p->dir, "other", "file", false, &err), LORT_OK);
    assert_int_equal(lort_os_open_again(p->dir, "file", &was, &again, &err), LORT_E_READ);
}

/* publish tells a dead writer's file by it. */
static void the_time_of_birth_stays(void **state)
{
    place *p = *state;
    lort_file *file = make(p, "file", "abc", 3);
    lort_file_info before, after;
    assert_int_equal(lort_os_info(file, &before, NULL), LORT_OK);
    Sleep(20);
    assert_int_equal(lort_os_write(file, "defg", 4, 3, NULL), LORT_OK);
    assert_int_equal(lort_os_sync(file, NULL), LORT_OK);
    assert_int_equal(lort_os_info(file, &after, NULL), LORT_OK);
    lort_os_close(file, NULL);
    assert_true(after.mtime_ns > before.mtime_ns && after.birth_ns == before.birth_ns);
    assert_true(under_wine() ? before.birth_ns == 0 : before.birth_ns != 0);
}

/* stat() of mingw gives the same inode 0 for all files. */
static void files_have_numbers(void **state)
{
    place *p = *state;
    lort_file *a = make(p, "a", "x", 1), *b = make(p, "b", "x", 1);
    lort_file_info of_a, of_b, linked;
    bool same = false, exists;
    wchar_t *from, *to;
    const uint8_t low[16] = {1}, high[16] = {1, [8] = 1}, higher[16] = {1, [8] = 2};
    assert_int_equal(lort_os_info(a, &of_a, NULL), LORT_OK);
    assert_int_equal(lort_os_info(b, &of_b, NULL), LORT_OK);
    assert_true(of_a.inode != of_b.inode && of_a.device == of_b.device && of_a.links == 1);
    assert_int_equal(lort_os_leads_to(p->dir, "a", a, &same, NULL), LORT_OK);
    assert_true(same);
    assert_int_equal(lort_os_leads_to(p->dir, "b", a, &same, NULL), LORT_OK);
    assert_false(same);
    assert_int_equal(lort_os_leads_to(p->dir, "none", a, &same, NULL), LORT_OK);
    assert_false(same);
    assert_int_equal(lort_os_wide(in(p, "a"), &from), 0);
    assert_int_equal(lort_os_wide(in(p, "second"), &to), 0);
    assert_true(CreateHardLinkW(to, from, NULL));
    free(from);
    free(to);
    assert_int_equal(lort_os_look(p->dir, "second", &linked, &exists, NULL), LORT_OK);
    assert_true(exists && linked.inode == of_a.inode && linked.links == 2);
    assert_int_equal(lort_os_name_kind(in(p, "second")), LORT_NAME_LINKED);
    assert_int_equal(lort_os_fold_id(low), 1);
    assert_true(lort_os_fold_id(high) != lort_os_fold_id(higher));
    lort_os_close(a, NULL);
    lort_os_close(b, NULL);
}

/* ---- names ---- */
static void names_are_utf8(void **state)
{
    static const char *const names[] = {"caf\xc3\xa9.bin", "\xd0\xbc\xd0\xbe\xd0\xb4",
                                        "\xe6\x97\xa5\xe6\x9c\xac", "\xf0\x9f\x98\x80.gguf"};
    place *p = *state;
    seen s = {.count = 0};
    lort_error err = {0};
    wchar_t *wide;
    for (int i = 0; i < 4; i++) {
        make_closed(p, names[i], names[i]);
        expect_content(p, names[i], names[i]);
    }
    assert_int_equal(lort_os_dir_list(p->dir, note, &s, &err), LORT_OK);
    assert_int_equal(s.count, 4);
    for (int i = 0; i < 4; i++)
        assert_string_equal(s.names[i], names[i]);
    assert_int_equal(lort_os_wide("\xff", &wide), ERROR_NO_UNICODE_TRANSLATION);
    assert_int_equal(lort_os_wide("\xc0\x80", &wide), ERROR_NO_UNICODE_TRANSLATION);
    lort_file *file;
    assert_int_equal(lort_os_open(p->dir, "a\xff", &file, &err), LORT_E_INPUT);
    const wchar_t half[] = {'a', 0xd800, 'b', 0};
    char *text;
    assert_int_equal(lort_os_narrow(half, 3, &text), 0);
    assert_string_equal(text, "a\xed\xa0\x80"
                              "b");
    assert_int_equal(lort_os_wide(text, &wide), 0);
    assert_memory_equal(wide, half, sizeof half);
    free(wide);
    free(text);
}

static void paths_may_be_long(void **state)
{
    place *p = *state;
    lort_dir *at = p->dir, *next;
    char name[101], path[1600];
    lort_error err = {0};
    memset(name, 'd', 100);
    name[100] = '\0';
    snprintf(path, sizeof path, "%s", p->path);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(lort_os_make_dir(at, name, 0700, &err), LORT_OK);
        assert_int_equal(lort_os_dir_enter(at, name, &next, &err), LORT_OK);
        if (at != p->dir)
            lort_os_dir_close(at);
        at = next;
        strcat(path, "/");
        strcat(path, name);
    }
    assert_true(strlen(path) > 600);
    /* Wine opens long paths without it, Windows does not. */
    wchar_t *full;
    bool device;
    assert_int_equal(lort_os_full_path(path, &full, &device), 0);
    assert_true(!device && wcsncmp(full, L"\\\\?\\", 4) == 0);
    free(full);
    assert_int_equal(lort_os_full_path("\\\\host\\share\\x", &full, &device), 0);
    assert_true(!device && wcscmp(full, L"\\\\?\\UNC\\host\\share\\x") == 0);
    free(full);
    lort_file *file = NULL;
    assert_int_equal(lort_os_create(at, "file", 0600, &file, &err), LORT_OK);
    assert_int_equal(lort_os_write(file, "deep", 4, 0, &err), LORT_OK);
    lort_os_close(file, NULL);
    lort_os_dir_close(at);
    assert_int_equal(lort_os_dir_open(path, &at, &err), LORT_OK);
    lort_os_dir_close(at);
    const char *last;
    strcat(path, "/file");
    assert_int_equal(lort_os_dir_of(path, &at, &last, &err), LORT_OK);
    assert_int_equal(lort_os_open(at, last, &file, &err), LORT_OK);
    lort_os_close(file, NULL);
    lort_os_dir_close(at);
    lort_file_info info;
    bool exists;
    assert_int_equal(lort_os_stat(path, &info, &exists, &err), LORT_OK);
    assert_true(exists && info.size == 4);
    assert_int_equal(lort_os_name_kind(path), LORT_NAME_FILE);
}

static void device_names_are_refused(void **state)
{
    static const char *const names[] = {"NUL",      "CON", "nul.lort", "com1.lort", "LPT9",
                                        "aux.gguf", "x.",  "x ",       "a:b",       "a?b",
                                        "a*b",      "a<b", "a|b",      "..\\x"};
    static const char *const paths[] = {"NUL",    "sub/nul", "C:nul", "sub\\com1.lort",
                                        "x.",     "a:b",     "a?b",   "x ",
                                        "long:b", "..",      "sub/"};
    place *p = *state;
    seen s = {.count = 0};
    lort_error err = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        lort_file *file = NULL;
        if (lort_os_create(p->dir, names[i], 0600, &file, &err) != LORT_E_WRITE)
            fail_msg("'%s' was created", names[i]);
        assert_int_equal(lort_os_make_dir(p->dir, names[i], 0700, &err), LORT_E_WRITE);
    }
    make_closed(p, "file", "x");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(lort_os_rename(p->dir, "file", names[i], false, &err), LORT_E_WRITE);
    assert_int_equal(lort_os_dir_list(p->dir, note, &s, NULL), LORT_OK);
    assert_int_equal(s.count, 1);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        lort_dir *dir;
        const char *name;
        const lort_code code = lort_os_dir_of(paths[i], &dir, &name, &err);
        if (code != LORT_E_USAGE && code != LORT_E_INPUT)
            fail_msg("'%s' gives %d", paths[i], (int)code);
    }
    assert_int_equal(lort_os_name_kind("NUL"), LORT_NAME_STREAM);
    assert_int_equal(lort_os_name_kind("\\\\.\\PhysicalDrive0"), LORT_NAME_BLOCK_DEVICE);
    lort_file_info info;
    bool exists;
    assert_int_equal(lort_os_stat("NUL", &info, &exists, &err), LORT_OK);
    assert_true(exists && info.kind == LORT_FILE_OTHER);
}

static void paths_are_split(void **state)
{
    static const struct {
        const char *path, *dir, *name;
    } cases[] = {{"file", ".", "file"},      {"./file", ".", "file"},
                 {".\\file", ".", "file"},   {"C:\\file", "C:\\", "file"},
                 {"C:/file", "C:/", "file"}, {"C:file", "C:", "file"},
                 {"/file", "/", "file"},     {"C:\\windows\\file", "C:\\windows", "file"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lort_dir *dir;
        const char *name;
        lort_error err = {0};
        if (lort_os_dir_of(cases[i].path, &dir, &name, &err))
            fail_msg("'%s': %s", cases[i].path, err.message);
        assert_string_equal(lort_os_dir_path(dir), cases[i].dir);
        assert_string_equal(name, cases[i].name);
        assert_string_equal(lort_os_base_name(cases[i].path), name);
        lort_os_dir_close(dir);
    }
}

static void cases_of_letters_are_one_name(void **state)
{
    place *p = *state;
    lort_file *file = NULL;
    lort_error err = {0};
    make_closed(p, "Weights.gguf", "x");
    assert_int_equal(lort_os_create(p->dir, "weights.GGUF", 0600, &file, &err), LORT_E_EXISTS);
    assert_int_equal(lort_os_make_dir(p->dir, "Folder", 0700, &err), LORT_OK);
    assert_int_equal(lort_os_make_dir(p->dir, "folder", 0700, &err), LORT_E_EXISTS);
}

/* ---- changes ---- */
static void renames_replace_only_when_asked(void **state)
{
    place *p = *state;
    lort_error err = {0};
    lort_file *held;
    make_closed(p, "old", "old");
    make_closed(p, "new", "new");
    assert_int_equal(lort_os_rename(p->dir, "new", "old", false, &err), LORT_E_EXISTS);
    expect_content(p, "old", "old");
    assert_int_equal(lort_os_rename(p->dir, "new", "old", true, &err), LORT_OK);
    expect_content(p, "old", "new");
    assert_false(is_there(p, "new"));
    /* publish holds what it renames */
    held = make(p, "part", "part", 4);
    assert_int_equal(lort_os_rename(p->dir, "part", "whole", false, &err), LORT_OK);
    assert_int_equal(lort_os_write(held, "PART", 4, 0, &err), LORT_OK);
    bool same = false;
    assert_int_equal(lort_os_leads_to(p->dir, "whole", held, &same, &err), LORT_OK);
    assert_true(same);
    lort_os_close(held, NULL);
    expect_content(p, "whole", "PART");
    assert_int_equal(lort_os_make_dir(p->dir, "folder", 0700, &err), LORT_OK);
    assert_int_equal(lort_os_rename(p->dir, "old", "folder", true, &err), LORT_E_WRITE);
    assert_int_equal(lort_os_rename(p->dir, "none", "any", true, &err), LORT_E_WRITE);
    assert_int_equal(lort_os_rename(p->dir, "folder", "moved", false, &err), LORT_OK);
    assert_true(is_there(p, "moved") && is_there(p, "old"));
}

static void names_are_removed(void **state)
{
    place *p = *state;
    lort_error err = {0};
    lort_dir *inner;
    lort_file *file;
    make_closed(p, "file", "x");
    assert_int_equal(lort_os_remove(p->dir, "file", true, &err), LORT_E_WRITE);
    assert_int_equal(lort_os_remove(p->dir, "file", false, &err), LORT_OK);
    assert_int_equal(lort_os_remove(p->dir, "file", false, &err), LORT_E_WRITE);
    assert_int_equal(lort_os_make_dir(p->dir, "folder", 0700, &err), LORT_OK);
    assert_int_equal(lort_os_dir_enter(p->dir, "folder", &inner, &err), LORT_OK);
    assert_int_equal(lort_os_create(inner, "file", 0600, &file, &err), LORT_OK);
    lort_os_close(file, NULL);
    assert_int_equal(lort_os_remove(p->dir, "folder", true, &err), LORT_E_WRITE);
    assert_int_equal(lort_os_remove(inner, "file", false, &err), LORT_OK);
    lort_os_dir_close(inner);
    assert_int_equal(lort_os_remove(p->dir, "folder", true, &err), LORT_OK);
    uint64_t bytes = 0;
    assert_int_equal(lort_os_free_space(p->dir, &bytes, &err), LORT_OK);
    assert_true(bytes > 1 << 20);
}

/* A lock of Windows keeps others from reading what it covers. */
static void one_writer_holds_the_lock(void **state)
{
    place *p = *state;
    char got[4];
    lort_error err = {0};
    bool locked = false;
    lort_file *first = make(p, "file", "data", 4), *second = NULL;
    assert_int_equal(lort_os_open_found(p->dir, "file", &second, &err), LORT_OK);
    assert_int_equal(lort_os_lock(first, &locked, &err), LORT_OK);
    assert_true(locked);
    assert_int_equal(lort_os_lock(second, &locked, &err), LORT_E_EXISTS);
    assert_non_null(strstr(err.message, "is locked"));
    assert_int_equal(lort_os_read(second, got, 4, 0, &err), LORT_OK);
    assert_int_equal(lort_os_write(second, "more data", 9, 0, &err), LORT_OK);
    assert_int_equal(lort_os_lock_holder(second), 0);
    lort_os_close(first, NULL);
    assert_int_equal(lort_os_lock(second, &locked, &err), LORT_OK);
    lort_os_close(second, NULL);
}

static void errors_speak_english(void **state)
{
    char text[300];
    (void)state;
    lort_os_reason(ERROR_DISK_FULL, text, sizeof text);
    assert_true(strlen(text) > 5 && text[strlen(text) - 1] != '.' && !strchr(text, '\n'));
    assert_non_null(strstr(text, "isk"));
    assert_string_equal(lort_os_reason(0x2fffffff, text, sizeof text), "Windows error 805306367");
    assert_int_equal(lort_os_open_code(ERROR_CANT_RESOLVE_FILENAME), LORT_E_INPUT);
    assert_int_equal(lort_os_open_code(ERROR_COMMITMENT_LIMIT), LORT_E_MEMORY);
    assert_int_equal(lort_os_open_code(ERROR_CRC), LORT_E_READ);
}

/* ---- mappings ---- */
static void maps_show_the_file(void **state)
{
    place *p = *state;
    const size_t page = (size_t)lort_os_page_size(), n = 40 * page + 10;
    char *bytes = calloc(1, n);
    lort_map *map = NULL, *longer = NULL;
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(i * 31 + 7);
    lort_file *file = make(p, "file", bytes, n);
    assert_int_equal(lort_os_map(file, n, &map, NULL), LORT_OK);
    assert_int_equal(lort_os_map(file, n + (1 << 20), &longer, NULL), LORT_E_MEMORY);
    assert_null(longer);
    lort_os_close(file, NULL);
    for (int advice = LORT_WILL_NEED; advice <= LORT_SEQUENTIAL; advice++) {
        lort_os_map_advise(map, 0, UINT64_MAX, (lort_advice)advice, true);
        lort_os_map_advise(map, page / 2, 3 * page, (lort_advice)advice, false);
        lort_os_map_advise(map, n, 1, (lort_advice)advice, false);
        assert_memory_equal(lort_os_map_data(map), bytes, n);
    }
    assert_false(lort_os_map_faulted(map));
    lort_os_unmap(map);
    lort_os_unmap(NULL);
    free(bytes);
}

/* Windows itself refuses to cut a mapped file. */
static void cut(place *p, const char *name)
{
    char *(CDECL * unix_name)(const wchar_t *);
    FARPROC found = GetProcAddress(GetModuleHandleW(L"kernel32.dll"), "wine_get_unix_file_name");
    wchar_t *path, line[1000];
    char *text;
    STARTUPINFOW start = {.cb = sizeof start};
    PROCESS_INFORMATION process;
    memcpy(&unix_name, &found, sizeof unix_name);
    assert_non_null(unix_name);
    assert_int_equal(lort_os_wide(in(p, name), &path), 0);
    for (wchar_t *at = path; *at; at++)
        *at = *at == '/' ? '\\' : *at;
    text = unix_name(path);
    assert_non_null(text);
    free(path);
    assert_int_equal(lort_os_wide(text, &path), 0);
    swprintf(line, 1000, L"truncate -s 0 %ls", path);
    free(path);
    assert_true(CreateProcessW(L"\\\\?\\unix\\usr\\bin\\truncate", line, NULL, NULL, FALSE, 0, NULL,
                               NULL, &start, &process));
    lort_file_info info = {.size = 1};
    bool exists = true;
    for (int i = 0; i < 100 && info.size; i++) {
        Sleep(50);
        assert_int_equal(lort_os_look(p->dir, name, &info, &exists, NULL), LORT_OK);
    }
    assert_int_equal(info.size, 0);
}

typedef struct reader {
    const uint8_t *data;
    size_t n, page;
    unsigned sum;
} reader;

static void read_pages(void *ctx)
{
    reader *r = ctx;
    for (size_t at = 0; at < r->n; at += r->page)
        r->sum += ((const volatile uint8_t *)r->data)[at];
}

static void a_cut_file_does_not_kill(void **state)
{
    if (!under_wine()) {
        print_message("skipped: Windows lets nobody cut a mapped file\n");
        skip();
    }
    place *p = *state;
    const size_t page = (size_t)lort_os_page_size(), n = 64 * page;
    uint8_t *bytes = malloc(n);
    lort_map *map = NULL, *good = NULL;
    lort_thread *threads[4];
    reader readers[4];
    memset(bytes, 1, n);
    lort_file *file = make(p, "file", bytes, n), *other = make(p, "other", bytes, n);
    assert_int_equal(lort_os_map(file, n, &map, NULL), LORT_OK);
    assert_int_equal(lort_os_map(other, n, &good, NULL), LORT_OK);
    cut(p, "file");
    for (int i = 0; i < 4; i++) {
        readers[i] = (reader){lort_os_map_data(map), n, page, 0};
        assert_int_equal(lort_os_thread_start(read_pages, &readers[i], 1 << 16, &threads[i], NULL),
                         LORT_OK);
    }
    for (int i = 0; i < 4; i++) {
        lort_os_thread_join(threads[i]);
        assert_int_equal(readers[i].sum, 0);
    }
    assert_true(lort_os_map_faulted(map));
    lort_os_map_advise(map, 0, n, LORT_POPULATE, true);
    lort_os_map_advise(map, 0, n, LORT_DONT_NEED, true);
    assert_memory_equal(lort_os_map_data(good), bytes, n);
    assert_false(lort_os_map_faulted(good));
    lort_os_unmap(map);
    lort_os_unmap(good);
    lort_os_close(file, NULL);
    lort_os_close(other, NULL);
    free(bytes);
}

/* ---- memory ---- */
static void memory_is_given(void **state)
{
    const uint64_t n = 32u << 20;
    lort_process_memory before, after;
    (void)state;
    lort_os_process_memory(&before);
    uint8_t *pages = lort_os_pages(n);
    assert_non_null(pages);
    assert_int_equal((uintptr_t)pages % lort_os_page_size(), 0);
    for (uint64_t i = 0; i < n; i += 4096)
        assert_int_equal(pages[i], 0);
    memset(pages, 1, n);
    lort_os_process_memory(&after);
    assert_true(after.rss_bytes >= before.rss_bytes + n * 9 / 10);
    assert_true(after.peak_rss_bytes >= n && after.data_bytes > 0); /* Wine: no virtual_bytes */
    assert_true(after.anon_bytes + after.file_bytes == after.rss_bytes);
    lort_os_pages_free(pages, n);
    lort_os_pages_free(NULL, 1);
    assert_null(lort_os_pages(0));
    assert_null(lort_os_pages(UINT64_C(1) << 62));
    assert_false(lort_os_address_space(UINT64_C(1) << 62));
    assert_true(lort_os_address_space(1 << 20) && lort_os_address_space(0));
    for (size_t i = 1; i < 1000; i += 37) {
        uint8_t *block = lort_os_aligned(i);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % 64, 0);
        memset(block, 1, i);
        lort_os_aligned_free(block);
    }
    lort_os_aligned_free(NULL);
}

static void sources_are_named(void **state)
{
    lort_memory_sources list;
    (void)state;
    lort_os_memory_sources("", &list);
    assert_true(list.count >= 2);
    assert_string_equal(list.at[0].name, "AvailPhys");
    assert_string_equal(list.at[0].where, "GlobalMemoryStatusEx ullAvailPhys");
    assert_string_equal(list.at[1].name, "CommitLimit");
    assert_string_equal(list.at[1].where, "GlobalMemoryStatusEx ullAvailPageFile");
    assert_true(list.at[0].bytes > 1 << 20 && list.at[0].bytes < list.physical);
}

static void a_narrow_mask_counts(void **state)
{
    DWORD_PTR own, all;
    unsigned wide, narrow, quota;
    (void)state;
    assert_true(GetProcessAffinityMask(GetCurrentProcess(), &own, &all));
    lort_os_cpus("", &wide, &quota);
    assert_true(SetProcessAffinityMask(GetCurrentProcess(), own & (~own + 1))); /* one CPU */
    lort_os_cpus("", &narrow, &quota);
    assert_true(SetProcessAffinityMask(GetCurrentProcess(), own));
    assert_int_equal(narrow, 1);
    assert_int_equal(wide, (unsigned)__builtin_popcountll(own));
}

static void jobs_limit(void **state)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION job = {.JobMemoryLimit = 1000, .ProcessMemoryLimit = 300};
    JOBOBJECT_CPU_RATE_CONTROL_INFORMATION rate = {.CpuRate = 2600};
    lort_memory_sources list = {.count = 0};
    (void)state;
    lort_os_job_sources(&job, 100, 400, &list);
    assert_int_equal(list.count, 0);
    job.BasicLimitInformation.LimitFlags =
        JOB_OBJECT_LIMIT_JOB_MEMORY | JOB_OBJECT_LIMIT_PROCESS_MEMORY;
    lort_os_job_sources(&job, 100, 400, &list);
    lort_os_job_sources(&job, 400, 2000, &list);
    assert_int_equal(list.count, 4);
    assert_string_equal(list.at[0].name, "job");
    assert_string_equal(list.at[1].name, "job process");
    assert_int_equal(list.at[0].bytes, 600);
    assert_int_equal(list.at[1].bytes, 200);
    assert_int_equal(list.at[2].bytes, 0);
    assert_int_equal(list.at[3].bytes, 0);
    assert_int_equal(lort_os_job_cpus(&rate, 8), 0); /* not enabled */
    rate.ControlFlags = JOB_OBJECT_CPU_RATE_CONTROL_ENABLE;
    assert_int_equal(lort_os_job_cpus(&rate, 8), 0); /* a soft cap */
    rate.ControlFlags |= JOB_OBJECT_CPU_RATE_CONTROL_HARD_CAP;
    assert_int_equal(lort_os_job_cpus(&rate, 8), 3); /* 2.08 */
    unsigned affinity = 0, quota = 0;
    lort_os_cpus("", &affinity, &quota);
    assert_in_range(affinity, 1, 8192);
}

/* ---- threads ---- */
static unsigned x87_word(void)
{
    uint16_t word;
    __asm__ volatile("fnstcw %0" : "=m"(word));
    return word;
}

static void note_units(void *ctx)
{
    unsigned *words = ctx;
    words[0] = x87_word();
    words[1] = _mm_getcsr();
}

/* Windows starts a thread with 0x27f, which rounds to 53 bits. */
static void threads_round_as_the_first(void **state)
{
    unsigned words[2] = {0, 0};
    lort_thread *thread;
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lort_os_thread_start(note_units, words, 1, &thread, NULL), LORT_OK);
        lort_os_thread_join(thread);
        assert_int_equal(words[0], 0x37f);
        assert_int_equal(words[1], 0x1f80);
    }
}

static void the_float_environment_comes_back(void **state)
{
    lort_float_env saved;
    const uint16_t odd = 0x0e7f, normal = 0x037f; /* towards zero, 53 bits */
    (void)state;
    __asm__ volatile("fldcw %0" : : "m"(odd));
    _mm_setcsr(0xffc0); /* tiny numbers are zero, towards zero, flags clear */
    lort_os_float_enter(&saved);
    assert_int_equal(x87_word(), 0x37f);
    assert_int_equal(_mm_getcsr(), 0x1f80);
    lort_os_float_leave(&saved);
    const unsigned word = x87_word(), csr = _mm_getcsr();
    __asm__ volatile("fldcw %0" : : "m"(normal));
    _mm_setcsr(0x1f80);
    assert_int_equal(word, odd);
    assert_int_equal(csr, 0xffc0);
}

typedef struct meeting {
    lort_mutex *mutex;
    lort_cond *cond;
    int turn;
} meeting;

static void answer(void *ctx)
{
    meeting *m = ctx;
    lort_os_lock_mutex(m->mutex);
    while (m->turn != 1)
        lort_os_wait(m->cond, m->mutex);
    m->turn = 2;
    lort_os_wake_all(m->cond);
    lort_os_unlock_mutex(m->mutex);
}

static void threads_meet(void **state)
{
    meeting m = {.turn = 0};
    lort_thread *thread = NULL;
    lort_error err = {0};
    (void)state;
    assert_int_equal(lort_os_mutex_open(&m.mutex, NULL), LORT_OK);
    assert_int_equal(lort_os_cond_open(&m.cond, NULL), LORT_OK);
    assert_int_equal(lort_os_thread_start(answer, &m, 1, &thread, NULL), LORT_OK);
    lort_os_lock_mutex(m.mutex);
    m.turn = 1;
    lort_os_wake_all(m.cond);
    while (m.turn != 2)
        lort_os_wait(m.cond, m.mutex);
    lort_os_unlock_mutex(m.mutex);
    lort_os_thread_join(thread);
    lort_os_cond_close(m.cond);
    lort_os_mutex_close(m.mutex);
    thread = (lort_thread *)&m;
    assert_int_equal(lort_os_thread_start(answer, &m, UINT64_C(1) << 55, &thread, &err),
                     LORT_E_MEMORY);
    assert_null(thread);
    lort_os_thread_join(NULL);
    lort_os_mutex_close(NULL);
    lort_os_cond_close(NULL);
    const uint64_t first = lort_os_clock_ns();
    Sleep(3);
    assert_in_range(lort_os_clock_ns() - first, 1000000, UINT64_C(60000000000));
}

/* ---- streams ---- */
static bool at_once(void *ctx)
{
    (void)ctx;
    return true;
}

static void pipes_are_written(void **state)
{
    enum { MUCH = 300000 };
    static const wchar_t wide[] = L"\\\\.\\pipe\\lort-test-os";
    static const char path[] = "\\\\.\\pipe\\lort-test-os";
    char got[8] = "", *much = calloc(1, MUCH);
    lort_stream *stream;
    lort_error err = {0};
    DWORD n = 0;
    (void)state;
    assert_int_equal(lort_os_stream_open(path, &stream, &err), LORT_E_WRITE);
    HANDLE pipe =
        CreateNamedPipeW(wide, PIPE_ACCESS_INBOUND, PIPE_TYPE_BYTE, 1, 4096, 4096, 0, NULL);
    assert_true(pipe != INVALID_HANDLE_VALUE);
    assert_int_equal(lort_os_name_kind(path), LORT_NAME_STREAM);
    assert_int_equal(lort_os_stream_open(path, &stream, &err), LORT_OK);
    assert_int_equal(lort_os_stream_write(stream, "text", 4, NULL, NULL, &err), LORT_OK);
    assert_true(ReadFile(pipe, got, 4, &n, NULL) && n == 4);
    assert_string_equal(got, "text");
    assert_int_equal(lort_os_stream_write(stream, much, MUCH, at_once, NULL, &err), LORT_E_STOPPED);
    lort_os_stream_close(stream, NULL);
    CloseHandle(pipe);
    pipe = CreateNamedPipeW(wide, PIPE_ACCESS_INBOUND, PIPE_TYPE_BYTE, 1, 4096, 4096, 0, NULL);
    assert_int_equal(lort_os_stream_open(path, &stream, &err), LORT_OK);
    CloseHandle(pipe);
    assert_int_equal(lort_os_stream_write(stream, "text", 4, NULL, NULL, &err), LORT_E_WRITE);
    lort_os_stream_close(stream, NULL);
    assert_int_equal(lort_os_stream_open("NUL", &stream, &err), LORT_OK);
    assert_int_equal(lort_os_stream_write(stream, much, MUCH, NULL, NULL, &err), LORT_OK);
    assert_int_equal(lort_os_stream_close(stream, &err), LORT_OK);
    assert_int_equal(lort_os_stream_stdout(&stream, &err), LORT_OK);
    assert_int_equal(lort_os_stream_close(stream, &err), LORT_OK);
    free(much);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(files_are_read_and_written),
        IN_PLACE(a_file_that_changed_is_told),
        IN_PLACE(the_time_of_birth_stays),
        IN_PLACE(files_have_numbers),
        IN_PLACE(names_are_utf8),
        IN_PLACE(paths_may_be_long),
        IN_PLACE(device_names_are_refused),
        cmocka_unit_test(paths_are_split),
        IN_PLACE(cases_of_letters_are_one_name),
        IN_PLACE(renames_replace_only_when_asked),
        IN_PLACE(names_are_removed),
        IN_PLACE(one_writer_holds_the_lock),
        cmocka_unit_test(errors_speak_english),
        IN_PLACE(maps_show_the_file),
        IN_PLACE(a_cut_file_does_not_kill),
        cmocka_unit_test(memory_is_given),
        cmocka_unit_test(sources_are_named),
        cmocka_unit_test(a_narrow_mask_counts),
        cmocka_unit_test(jobs_limit),
        cmocka_unit_test(threads_round_as_the_first),
        cmocka_unit_test(the_float_environment_comes_back),
        cmocka_unit_test(threads_meet),
        cmocka_unit_test(pipes_are_written),
    };
    return run_chosen(tests, NULL, NULL);
}
