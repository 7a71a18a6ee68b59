#define _DEFAULT_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/store/publish.h"
#include "tests/unit/child.h"
#include "tests/unit/main.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/lort-publish-XXXXXX";
static char output[64], partial[80], guard[80];

static void make_names(void)
{
    snprintf(output, sizeof output, "%s/out", dir);
    snprintf(partial, sizeof partial, "%s/.out.lort-partial", dir);
    snprintf(guard, sizeof guard, "%s/.out.lort-lock", dir);
}

static int set_up(void **state)
{
    (void)state;
    umask(022);
    if (!mkdtemp(dir))
        return -1;
    make_names();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(dir);
}

/* Windows has no permission bits. */
static void assert_mode(const char *path, unsigned mode)
{
#if !defined(_WIN32)
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, mode);
#endif
}

static int names_in(const char *path)
{
    int n = 0;
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return n;
}

static void put_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void assert_file(const char *path, const char *text)
{
    char got[256] = {0};
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(got, 1, sizeof got - 1, f);
    fclose(f);
    assert_int_equal(n, strlen(text));
    assert_string_equal(got, text);
}

static lort_code begin(lort_publish **out, lort_publish_options options, lort_error *err)
{
    return lort_publish_begin(output, &options, &lort_alloc_heap, out, err);
}

static void a_file_appears_whole(void **state)
{
    (void)state;
    lort_publish *p;
    assert_int_equal(begin(&p, (lort_publish_options){.mode = 0600}, NULL), LORT_OK);
    assert_int_equal(lort_publish_file(p, "ignored", NULL), LORT_OK);
    assert_int_equal(lort_publish_append(p, "hello ", 6, NULL), LORT_OK);
    assert_int_equal(lort_publish_append(p, "world", 5, NULL), LORT_OK);
    assert_int_equal(lort_publish_size(p), 11);
    assert_mode(partial, 0600);
    assert_int_equal(access(output, F_OK), -1);
    assert_int_equal(lort_publish_commit(p, NULL), LORT_OK);
    assert_int_equal(access(partial, F_OK), -1);
    lort_publish_close(p);
    assert_file(output, "hello world");
    assert_mode(output, 0600);
    assert_int_equal(names_in(dir), 1);
    unlink(output);
}

static void what_follows_a_mark_can_be_taken_back(void **state)
{
    lort_publish *publish;
    (void)state;
    assert_int_equal(lort_publish_begin(output, &(lort_publish_options){.mode = 0600},
                                        &lort_alloc_heap, &publish, NULL),
                     LORT_OK);
    assert_int_equal(lort_publish_file(publish, NULL, NULL), LORT_OK);
    assert_int_equal(lort_publish_rewind(publish, NULL), LORT_E_INTERNAL); /* there is no mark */
    assert_int_equal(lort_publish_append(publish, "abc", 3, NULL), LORT_OK);
    assert_int_equal(lort_publish_mark(publish, NULL), LORT_OK);
    for (int i = 0; i < 2; i++) { /* the mark stays */
        assert_int_equal(lort_publish_append(publish, "defghi", 6, NULL), LORT_OK);
        assert_int_equal(lort_publish_rewind(publish, NULL), LORT_OK);
        assert_int_equal(lort_publish_size(publish), 3);
    }
    assert_int_equal(lort_publish_append(publish, "xy", 2, NULL), LORT_OK);
    assert_int_equal(lort_publish_commit(publish, NULL),
                     LORT_OK); /* reads back what is there now */
    lort_publish_close(publish);
    assert_file(output, "abcxy");
    unlink(output);
}

static void nothing_appears_without_commit(void **state)
{
    (void)state;
    lort_publish *p;
    for (int directory = 0; directory < 2; directory++) {
        assert_int_equal(
            begin(&p, (lort_publish_options){.mode = 0644, .directory = directory}, NULL), LORT_OK);
        assert_int_equal(lort_publish_file(p, "a", NULL), LORT_OK);
        assert_int_equal(lort_publish_append(p, "x", 1, NULL), LORT_OK);
        lort_publish_close(p);
        assert_int_equal(names_in(dir), 0);
    }
    lort_publish_close(NULL);
}

static void existing_output_is_refused_at_once(void **state)
{
    (void)state;
    lort_publish *p;
    lort_error err;
    put_file(output, "old");
    assert_int_equal(begin(&p, (lort_publish_options){.mode = 0644}, &err), LORT_E_EXISTS);
    assert_null(p);
    assert_non_null(strstr(err.message, "--force"));
    assert_int_equal(
        begin(&p, (lort_publish_options){.mode = 0644, .directory = true, .force = true}, &err),
        LORT_E_EXISTS);
    assert_file(output, "old");
    unlink(output);
    assert_int_equal(mkdir(output, 0755), 0);
    assert_int_equal(begin(&p, (lort_publish_options){.mode = 0644, .force = true}, &err),
                     LORT_E_EXISTS);
    assert_non_null(strstr(err.message, "never replaced"));
    assert_int_equal(
        begin(&p, (lort_publish_options){.mode = 0644, .force = true, .directory = true}, &err),
        LORT_E_EXISTS);
    rmdir(output);
    assert_int_equal(names_in(dir), 0);
}

static void links_and_fifos_are_refused_at_once(void **state)
{
    (void)state;
    lort_publish *p;
    lort_error err;
    assert_int_equal(symlink("nowhere", output), 0);
    assert_int_equal(begin(&p, (lort_publish_options){.mode = 0644}, &err), LORT_E_EXISTS);
    assert_non_null(strstr(err.message, "replaces the link, not its target"));
    unlink(output);
    assert_int_equal(mkfifo(output, 0600), 0);
    assert_int_equal(begin(&p, (lort_publish_options){.mode = 0644, .force = true}, &err),
                     LORT_E_EXISTS);
    unlink(output);
    assert_int_equal(names_in(dir), 0);
}

static void force_replaces_at_commit_only(void **state)
{
    (void)state;
    lort_publish *p;
    put_file(output, "old");
    assert_int_equal(begin(&p, (lort_publish_options){.mode = 0644, .force = true}, NULL), LORT_OK);
    assert_int_equal(lort_publish_append(p, "new", 3, NULL), LORT_OK);
    assert_file(output, "old");
    lort_publish_close(p);
    assert_file(output, "old");
    assert_int_equal(begin(&p, (lort_publish_options){.mode = 0644, .force = true}, NULL), LORT_OK);
    assert_int_equal(lort_publish_append(p, "new", 3, NULL), LORT_OK);
    assert_int_equal(lort_publish_commit(p, NULL), LORT_OK);
    lort_publish_close(p);
    assert_file(output, "new");
    unlink(output);
}

/* Somebody puts a file there during the work: without force that file stays. */
static void a_late_file_survives(void **state)
{
    (void)state;
    lort_publish *p;
    for (int directory = 0; directory < 2; directory++) {
        assert_int_equal(
            begin(&p, (lort_publish_options){.mode = 0644, .directory = directory}, NULL), LORT_OK);
        assert_int_equal(lort_publish_file(p, "a", NULL), LORT_OK);
        assert_int_equal(lort_publish_append(p, "new", 3, NULL), LORT_OK);
        put_file(output, "late");
        assert_int_not_equal(lort_publish_commit(p, NULL), LORT_OK);
        lort_publish_close(p);
        assert_file(output, "late");
        assert_int_equal(names_in(dir), 1);
        unlink(output);
    }
}

static void a_directory_appears_whole(void **state)
{
    (void)state;
    lort_publish *p;
    char path[96];
    assert_int_equal(begin(&p, (lort_publish_options){.mode = 0640, .directory = true}, NULL),
                     LORT_OK);
    assert_int_equal(lort_publish_append(p, "x", 1, NULL), LORT_E_INTERNAL); /* no file yet */
    assert_int_equal(lort_publish_file(p, "a", NULL), LORT_OK);
    assert_int_equal(lort_publish_append(p, "one", 3, NULL), LORT_OK);
    assert_int_equal(lort_publish_file(p, "b", NULL), LORT_OK);
    assert_int_equal(lort_publish_size(p), 0);
    assert_int_equal(lort_publish_append(p, "two", 3, NULL), LORT_OK);
    assert_int_equal(lort_publish_file(p, "empty", NULL), LORT_OK);
    assert_int_equal(access(output, F_OK), -1);
    assert_int_equal(lort_publish_commit(p, NULL), LORT_OK);
    lort_publish_close(p);
    assert_int_equal(names_in(dir), 1);
    assert_int_equal(names_in(output), 3);
    assert_mode(output, 0750);
    static const char *const names[] = {"a", "b", "empty"}, *const texts[] = {"one", "two", ""};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", output, names[i]);
        assert_file(path, texts[i]);
        unlink(path);
    }
    rmdir(output);
}

/* ---- trees ---- */

static const lort_publish_options tree = {.mode = 0640, .directory = true};

static const char *below(const char *place, const char *name)
{
    static char paths[4][200];
    static int at;
    at = (at + 1) % 4;
    snprintf(paths[at], sizeof paths[at], "%s/%s", place, name);
    return paths[at];
}

static lort_publish *begin_tree(void)
{
    lort_publish *p;
    assert_int_equal(begin(&p, tree, NULL), LORT_OK);
    assert_int_equal(lort_publish_file(p, "a/b/c", NULL), LORT_OK);
    assert_int_equal(lort_publish_append(p, "one", 3, NULL), LORT_OK);
    return p;
}

static void a_tree_appears_whole(void **state)
{
    (void)state;
    lort_publish *p = begin_tree();
    assert_int_equal(lort_publish_file(p, "a/d", NULL), LORT_OK);
    assert_int_equal(lort_publish_file(p, "e", NULL), LORT_OK);
    assert_int_equal(lort_publish_file(p, "a/b", NULL), LORT_E_EXISTS); /* a folder */
    assert_int_equal(lort_publish_commit(p, NULL), LORT_OK);
    lort_publish_close(p);
    assert_int_equal(names_in(dir), 1);
    assert_int_equal(names_in(output), 2);
    assert_int_equal(names_in(below(output, "a")), 2);
    assert_file(below(output, "a/b/c"), "one");
    assert_mode(below(output, "a/b"), 0750);
    static const char *const files[] = {"a/b/c", "a/d", "e"};
    for (int i = 0; i < 3; i++)
        unlink(below(output, files[i]));
    rmdir(below(output, "a/b"));
    rmdir(below(output, "a"));
    rmdir(output);
}

static void a_tree_without_commit_is_gone(void **state)
{
    (void)state;
    lort_publish *p = begin_tree();
    lort_publish_close(p);
    assert_int_equal(names_in(dir), 0);
}

/* The folder becomes a link out of the tree, or another directory. */
static void replace_a_folder(bool link)
{
    lort_error err;
    lort_publish *p = begin_tree();
    assert_int_equal(mkdir(below(dir, "victim"), 0700), 0);
    assert_int_equal(rename(below(partial, "a/b"), below(dir, "moved")), 0);
    if (link)
        assert_int_equal(symlink("../../victim", below(partial, "a/b")), 0);
    else
        assert_int_equal(mkdir(below(partial, "a/b"), 0700), 0);
    assert_int_equal(lort_publish_file(p, "a/b/d", &err), LORT_E_WRITE);
    assert_non_null(strstr(err.message, "is not from this run"));
    assert_int_equal(lort_publish_commit(p, &err), LORT_E_WRITE);
    lort_publish_close(p);
    assert_int_equal(names_in(below(dir, "victim")), 0);
    assert_file(below(dir, "moved/c"), "one");
    unlink(below(dir, "moved/c"));
    rmdir(below(dir, "moved"));
    rmdir(below(dir, "victim"));
    assert_int_equal(link ? unlink(below(partial, "a/b")) : rmdir(below(partial, "a/b")), 0);
    rmdir(below(partial, "a"));
    rmdir(partial);
    unlink(guard);
    assert_int_equal(names_in(dir), 0);
}

static void a_replaced_folder_is_not_entered(void **state)
{
    (void)state;
    replace_a_folder(false);
}

static void a_link_for_a_folder_is_not_entered(void **state)
{
    (void)state;
    replace_a_folder(true);
}

static void only_written_files_get_into_the_tree(void **state)
{
    (void)state;
    lort_error err;
    lort_publish *p = begin_tree();
    put_file(below(partial, "a/b/notes"), "mine");
    assert_int_equal(lort_publish_commit(p, &err), LORT_E_WRITE);
    assert_non_null(strstr(err.message, "a/b/notes"));
    lort_publish_close(p);
    assert_file(below(partial, "a/b/notes"), "mine");
    unlink(below(partial, "a/b/notes"));
    rmdir(below(partial, "a/b"));
    rmdir(below(partial, "a"));
    rmdir(partial);
    unlink(guard);
    p = begin_tree();
    assert_int_equal(unlink(below(partial, "a/b/c")), 0);
    assert_int_equal(lort_publish_file(p, "x", NULL), LORT_OK);
    assert_int_equal(lort_publish_commit(p, &err), LORT_E_WRITE);
    assert_non_null(strstr(err.message, "removed files"));
    lort_publish_close(p);
    assert_int_equal(names_in(dir), 0);
}

/* Writers that die in their work, as kill -9 lets them die. text: their directory. */
static int write_tree(const char *text)
{
    lort_publish *p;
    strcpy(dir, text);
    make_names();
    return begin(&p, tree, NULL) || lort_publish_file(p, "a/b/c", NULL) ||
           lort_publish_file(p, "a/d", NULL);
}

static bool write_half(const char *text, lort_publish_options options)
{
    lort_publish *p;
    strcpy(dir, text);
    make_names();
    return begin(&p, options, NULL) || lort_publish_file(p, "a", NULL) ||
           lort_publish_append(p, "half of a secret", 16, NULL) ||
           (options.directory && lort_publish_file(p, "b", NULL));
}

static int write_file(const char *text)
{
    return write_half(text, (lort_publish_options){.mode = 0644});
}

static int write_dir(const char *text)
{
    return write_half(text, (lort_publish_options){.mode = 0644, .directory = true});
}

static const child_role writers[] = {
    {"file", write_file}, {"dir", write_dir}, {"tree", write_tree}};

static void a_dead_writers_tree_is_taken_over(void **state)
{
    (void)state;
    lort_publish *p;
    lort_error err;
    assert_int_equal(child_run(&writers[2], dir), 0);
    put_file(below(partial, "a/b/notes"), "mine");
    assert_int_equal(begin(&p, tree, &err), LORT_E_EXISTS);
    assert_non_null(strstr(err.message, "no run of LoRT"));
    assert_file(below(partial, "a/b/notes"), "mine");
    assert_int_equal(names_in(below(partial, "a")), 2);
    unlink(below(partial, "a/b/notes"));
    assert_int_equal(mkdir(below(partial, "a/other"), 0700), 0); /* empty: made, and not noted */
    assert_int_equal(begin(&p, tree, &err), LORT_OK);
    assert_int_equal(names_in(partial), 0);
    lort_publish_close(p);
    assert_int_equal(names_in(dir), 0);
}

static void a_second_writer_is_refused(void **state)
{
    (void)state;
    lort_error err;
    for (int directory = 0; directory < 2; directory++) {
        lort_publish *p, *q;
        lort_publish_options options = {.mode = 0644, .directory = directory};
        assert_int_equal(begin(&p, options, NULL), LORT_OK);
        assert_int_equal(lort_publish_file(p, "a", NULL), LORT_OK);
        assert_int_equal(lort_publish_append(p, "mine", 4, NULL), LORT_OK);
        assert_int_equal(begin(&q, options, &err), LORT_E_EXISTS);
        assert_null(q);
        assert_non_null(strstr(err.message, "another"));
        assert_int_equal(lort_publish_append(p, "!", 1, NULL), LORT_OK);
        lort_publish_close(p);
        assert_int_equal(begin(&q, options, &err), LORT_OK);
        lort_publish_close(q);
        assert_int_equal(names_in(dir), 0);
    }
}

static void die_writing(lort_publish_options options)
{
    assert_int_equal(child_run(&writers[options.directory], dir), 0);
}

static void a_dead_writers_partial_is_taken_over(void **state)
{
    (void)state;
    lort_publish *p;
    die_writing((lort_publish_options){.mode = 0644});
    assert_file(partial, "half of a secret");
    assert_int_equal(begin(&p, (lort_publish_options){.mode = 0600}, NULL), LORT_OK);
    assert_int_equal(lort_publish_append(p, "short", 5, NULL), LORT_OK);
    assert_int_equal(lort_publish_commit(p, NULL), LORT_OK);
    lort_publish_close(p);
    assert_file(output, "short");
    assert_int_equal(names_in(dir), 1);
    unlink(output);

    die_writing((lort_publish_options){.mode = 0644, .directory = true});
    assert_int_equal(names_in(partial), 2);
    assert_int_equal(begin(&p, (lort_publish_options){.mode = 0600, .directory = true}, NULL),
                     LORT_OK);
    assert_int_equal(names_in(partial), 0);
    assert_int_equal(lort_publish_commit(p, NULL), LORT_OK);
    lort_publish_close(p);
    assert_int_equal(names_in(dir), 1);
    assert_int_equal(names_in(output), 0);
    rmdir(output);
}

/* ---- what LoRT did not make ---- */

static void assert_refused(lort_publish_options options, const char *name, const char *why)
{
    lort_publish *p;
    lort_error err;
    options.mode = 0600;
    assert_int_equal(begin(&p, options, &err), LORT_E_EXISTS);
    assert_null(p);
    if (!strstr(err.message, name) || !strstr(err.message, why))
        fail_msg("%s has not '%s' and '%s'", err.message, name, why);
}

static bool begins_as_test(const uint8_t *head, uint64_t n)
{
    return memcmp(head, "work", n < 4 ? (size_t)n : 4) == 0;
}

static const lort_publish_options resumable = {.resumable = true, .begins = begins_as_test},
                                  one_file = {.mode = 0600}, whole_dir = {.directory = true};

static void foreign_files_stay_as_they_are(void **state)
{
    char path[96];
    (void)state;
    snprintf(path, sizeof path, "%s/out.part", dir);
    put_file(path, "my notes");
    assert_int_equal(chmod(path, 0664), 0);
    assert_refused(resumable, "out.part", "does not begin");
    assert_file(path, "my notes");
    assert_mode(path, 0664);
    unlink(path);
    put_file(partial, "my notes");
    assert_refused(one_file, ".out.lort-partial", "no run of LoRT");
    assert_refused(whole_dir, ".out.lort-partial", "no run of LoRT");
    assert_file(partial, "my notes");
    unlink(partial);
    put_file(guard, "my notes");
    assert_refused(one_file, ".out.lort-lock", "does not begin");
    assert_refused(whole_dir, ".out.lort-lock", "does not begin");
    assert_file(guard, "my notes");
    unlink(guard);
    assert_int_equal(names_in(dir), 0);
}

/* Each name in turn is another name of a file or a directory; links: a link or a FIFO. */
static void lead_names_elsewhere(bool links)
{
    const struct {
        const lort_publish_options *options;
        const char *name;
    } cases[] = {{&resumable, "out.part"},
                 {&one_file, ".out.lort-partial"},
                 {&whole_dir, ".out.lort-partial"},
                 {&one_file, ".out.lort-lock"},
                 {&whole_dir, ".out.lort-lock"}};
    char victim[96], path[96];
    snprintf(victim, sizeof victim, "%s/victim", dir);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, cases[i].name);
        put_file(victim, "work of others");
        for (int kind = links ? 0 : 3; kind < (links ? 3 : 5); kind++) {
            static const char *const shown[] = {"a symbolic link", "a symbolic link", "a FIFO",
                                                "2 names", "a directory"};
            assert_int_equal(kind == 0   ? symlink("victim", path)
                             : kind == 1 ? symlink("nowhere", path)
                             : kind == 2 ? mkfifo(path, 0600)
                             : kind == 3 ? link(victim, path)
                                         : mkdir(path, 0700),
                             0);
            assert_refused(*cases[i].options, cases[i].name, shown[kind]);
            assert_int_equal(kind == 4 ? rmdir(path) : unlink(path), 0);
        }
        assert_file(victim, "work of others");
        unlink(victim);
        assert_int_equal(names_in(dir), 0);
    }
}

static void names_that_lead_elsewhere_are_refused(void **state)
{
    (void)state;
    lead_names_elsewhere(false);
}

static void links_and_fifos_at_its_names_are_refused(void **state)
{
    (void)state;
    lead_names_elsewhere(true);
}

/* LoRT empties only a directory that it made, and only if all in it is from LoRT. */
static void foreign_directories_stay_as_they_are(void **state)
{
    char path[128];
    lort_publish *p;
    (void)state;
    snprintf(path, sizeof path, "%s/notes", partial);
    assert_int_equal(mkdir(partial, 0700), 0);
    put_file(path, "mine");
    assert_refused(whole_dir, ".out.lort-partial", "");
    assert_file(path, "mine");
    unlink(path);
    rmdir(partial);

    die_writing(whole_dir);
    put_file(path, "mine");
    assert_refused(whole_dir, "notes", "no run of LoRT");
    assert_file(path, "mine");
    assert_int_equal(names_in(partial), 3);
    unlink(path);
    assert_int_equal(begin(&p, whole_dir, NULL), LORT_OK);
    lort_publish_close(p);
    assert_int_equal(names_in(dir), 0);
}

static void a_link_in_a_dead_writers_directory_is_refused(void **state)
{
    char path[128], victim[96];
    lort_publish *p;
    (void)state;
    snprintf(path, sizeof path, "%s/notes", partial);
    die_writing(whole_dir);
    snprintf(victim, sizeof victim, "%s/victim", dir);
    put_file(victim, "work of others");
    assert_int_equal(symlink("../victim", path), 0);
    assert_refused(whole_dir, "notes", "a symbolic link");
    unlink(path);
    assert_int_equal(begin(&p, whole_dir, NULL), LORT_OK);
    lort_publish_close(p);
    assert_file(victim, "work of others");
    unlink(victim);
    assert_int_equal(names_in(dir), 0);
}

/* The note of a dead writer is no proof for another file of that name. */
static void a_replaced_partial_is_not_taken_over(void **state)
{
    (void)state;
    die_writing(one_file);
    unlink(partial);
    put_file(partial, "mine");
    assert_refused(one_file, ".out.lort-partial", "no run of LoRT");
    assert_file(partial, "mine");
    unlink(partial);
    unlink(guard);
    assert_int_equal(names_in(dir), 0);
}

/* ---- names that change during the run ---- */

static void replace_partial(const lort_publish_options *options, const char *name, bool replace)
{
    lort_publish *p;
    lort_error err;
    char moved[96];
    snprintf(moved, sizeof moved, "%s/moved", dir);
    assert_int_equal(begin(&p, *options, NULL), LORT_OK);
    assert_int_equal(lort_publish_file(p, "a", NULL), LORT_OK);
    assert_int_equal(lort_publish_append(p, "work", 4, NULL), LORT_OK);
    assert_int_equal(lort_publish_checkpoint(p, NULL), LORT_OK);
    assert_int_equal(rename(name, moved), 0);
    if (replace)
        put_file(name, "evil");
    assert_int_equal(lort_publish_commit(p, &err), LORT_E_WRITE);
    assert_non_null(strstr(err.message, "removed or replaced"));
    assert_null(strstr(err.message, "complete and checked"));
    assert_false(lort_publish_stays(p));
    lort_publish_close(p);
    assert_int_equal(access(output, F_OK), -1);
    if (replace)
        assert_file(name, "evil");
    unlink(name);
    if (!options->directory)
        assert_file(moved, "work");
    snprintf(moved, sizeof moved, "%s/moved/a", dir);
    unlink(moved);
    snprintf(moved, sizeof moved, "%s/moved", dir);
    remove(moved);
    assert_int_equal(names_in(dir), 0);
}

static void only_the_written_file_gets_the_name(void **state)
{
    char part[96];
    (void)state;
    snprintf(part, sizeof part, "%s/out.part", dir);
    for (int replace = 0; replace < 2; replace++) {
        replace_partial(&resumable, part, replace);
        replace_partial(&one_file, partial, replace);
    }
}

static void only_the_written_directory_gets_the_name(void **state)
{
    (void)state;
    replace_partial(&whole_dir, partial, false);
    replace_partial(&whole_dir, partial, true);
}

/* Somebody changes what is in the partial directory. */
static void only_written_files_get_into_the_directory(void **state)
{
    static const char *const names[] = {"a", "b"};
    char path[128];
    (void)state;
    for (int i = 0; i < 2; i++) {
        lort_publish *p;
        assert_int_equal(begin(&p, whole_dir, NULL), LORT_OK);
        assert_int_equal(lort_publish_file(p, "a", NULL), LORT_OK);
        assert_int_equal(lort_publish_append(p, "work", 4, NULL), LORT_OK);
        assert_int_equal(lort_publish_file(p, "c", NULL), LORT_OK);
        snprintf(path, sizeof path, "%s/new", partial);
        put_file(path, "evil");
        char name[128];
        snprintf(name, sizeof name, "%s/%s", partial, names[i]);
        assert_int_equal(rename(path, name), 0);
        assert_int_equal(lort_publish_commit(p, NULL), LORT_E_WRITE);
        lort_publish_close(p);
        assert_int_equal(access(output, F_OK), -1);
        assert_file(name, "evil");
        assert_int_equal(names_in(partial), 1);
        unlink(name);
        rmdir(partial);
        assert_int_equal(names_in(dir), 0);
    }
}

/* --force replaces a link, never its target. */
static void force_replaces_the_link(void **state)
{
    char victim[96];
    struct stat st;
    lort_publish *p;
    (void)state;
    snprintf(victim, sizeof victim, "%s/victim", dir);
    put_file(victim, "precious");
    assert_int_equal(symlink("victim", output), 0);
    assert_refused(one_file, "/out", "symbolic link");
    assert_refused(
        (lort_publish_options){.force = true, .own_only = true, .begins = begins_as_test}, "out",
        "a symbolic link");
    assert_int_equal(begin(&p, (lort_publish_options){.mode = 0600, .force = true}, NULL), LORT_OK);
    assert_int_equal(lort_publish_append(p, "new", 3, NULL), LORT_OK);
    assert_int_equal(lort_publish_commit(p, NULL), LORT_OK);
    lort_publish_close(p);
    assert_file(victim, "precious");
    assert_file(output, "new");
    assert_int_equal(lstat(output, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    unlink(victim);
    unlink(output);
}

/* own_only: --force is no leave to replace the file of somebody else. */
static void own_only_replaces_what_lort_made(void **state)
{
    lort_publish_options options = {.force = true, .own_only = true, .begins = begins_as_test};
    lort_publish *p;
    (void)state;
    options.mode = 0600;
    put_file(output, "my notes");
    assert_refused(options, "out", "does not begin");
    assert_file(output, "my notes");
    put_file(output, "work of an earlier run");
    assert_int_equal(begin(&p, options, NULL), LORT_OK);
    assert_int_equal(lort_publish_append(p, "work", 4, NULL), LORT_OK);
    assert_int_equal(lort_publish_commit(p, NULL), LORT_OK);
    lort_publish_close(p);
    assert_file(output, "work");
    unlink(output);
    assert_int_equal(names_in(dir), 0);
}

static void a_full_disk_is_said_at_once(void **state)
{
    (void)state;
    lort_publish *p;
    lort_error err;
    assert_int_equal(
        begin(&p, (lort_publish_options){.mode = 0600, .expect_bytes = UINT64_C(1) << 60}, &err),
        LORT_E_WRITE);
    assert_non_null(strstr(err.message, "1152921504606846976"));
    assert_non_null(strstr(err.message, "free"));
    assert_int_equal(begin(&p, (lort_publish_options){.mode = 0600, .expect_bytes = 1}, &err),
                     LORT_OK);
    lort_publish_close(p);
    assert_int_equal(names_in(dir), 0);
}

static void a_missing_place_is_said_at_once(void **state)
{
    (void)state;
    lort_publish *p;
    lort_error err;
    lort_publish_options options = {.mode = 0644};
    assert_int_equal(
        lort_publish_begin("/tmp/lort-no-such-directory/out", &options, &lort_alloc_heap, &p, &err),
        LORT_E_WRITE);
    assert_non_null(strstr(err.message, "/tmp/lort-no-such-directory"));
    assert_null(p);
    static const char *const nameless[] = {"", "/", ".", "..", "/tmp/"};
    for (size_t i = 0; i < sizeof nameless / sizeof nameless[0]; i++) {
        assert_int_not_equal(lort_publish_begin(nameless[i], &options, &lort_alloc_heap, &p, &err),
                             LORT_OK);
        assert_null(p);
    }
}

/* The disk "fills up" after `limit` bytes of a file, wherever that falls; the old file stays. */
static void every_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    struct rlimit old, tight;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    put_file(output, "old");
    for (rlim_t limit = 0; limit <= 120000; limit += 7919) {
        uint8_t block[1000] = {1};
        lort_publish *p;
        lort_error err = {0};
        tight = old;
        tight.rlim_cur = limit;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
        lort_code code = begin(&p, (lort_publish_options){.mode = 0644, .force = true}, &err);
        for (int i = 0; i < 100 && code == LORT_OK; i++)
            code = lort_publish_append(p, block, sizeof block, &err);
        if (code == LORT_OK && limit < 100000)
            code = lort_publish_commit(p, &err);
        setrlimit(RLIMIT_FSIZE, &old);
        lort_publish_close(p);
        assert_int_equal(code, limit < 100000 ? LORT_E_WRITE : LORT_OK);
        assert_true(limit >= 100000 || strstr(err.message, ".out.lort-"));
        assert_file(output, "old");
        assert_int_equal(names_in(dir), 1);
    }
    unlink(output);
}

static void hold_and_die(int ready)
{
    lort_publish *p;
    if (begin(&p, (lort_publish_options){.mode = 0644}, NULL) ||
        lort_publish_append(p, "dead", 4, NULL))
        _exit(1);
    if (write(ready, "x", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

/* While the other process lives, it locks its partial output. After its death the next writer takes
 * over. */
static void a_killed_writer_leaves_no_lock(void **state)
{
    (void)state;
    int ready[2];
    char byte;
    lort_publish *p;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        hold_and_die(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(begin(&p, (lort_publish_options){.mode = 0644}, NULL), LORT_E_EXISTS);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_file(partial, "dead");
    assert_int_equal(begin(&p, (lort_publish_options){.mode = 0644}, NULL), LORT_OK);
    assert_file(partial, "");
    lort_publish_close(p);
    assert_int_equal(names_in(dir), 0);
    close(ready[0]);
    close(ready[1]);
}

/* Several processes race for one output again and again. Each time exactly one file appears, and it
 * is one writer's. */
static void of_many_writers_one_wins(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        if (round % 2)
            die_writing((lort_publish_options){.mode = 0644});
        pid_t children[4];
        int won = 0, status;
        for (int i = 0; i < 4; i++) {
            children[i] = fork();
            assert_true(children[i] >= 0);
            if (children[i] == 0) {
                lort_publish *p;
                char text[9] = {0};
                memset(text, 'a' + i, 8);
                lort_code code = begin(&p, (lort_publish_options){.mode = 0644}, NULL);
                for (int k = 0; k < 8 && code == LORT_OK; k++)
                    code = lort_publish_append(p, text + k, 1, NULL);
                if (code == LORT_OK)
                    code = lort_publish_commit(p, NULL);
                lort_publish_close(p);
                _exit(code == LORT_OK ? 0 : code == LORT_E_EXISTS ? 9 : 1);
            }
        }
        for (int i = 0; i < 4; i++) {
            waitpid(children[i], &status, 0);
            assert_true(WIFEXITED(status) &&
                        (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 9));
            won += WEXITSTATUS(status) == 0;
        }
        assert_int_equal(won, 1);
        char got[16] = {0};
        FILE *f = fopen(output, "rb");
        assert_non_null(f);
        assert_int_equal(fread(got, 1, sizeof got, f), 8);
        fclose(f);
        for (int i = 1; i < 8; i++)
            assert_int_equal(got[i], got[0]);
        assert_int_equal(names_in(dir), 1);
        unlink(output);
    }
}

static int allocations_left;
static void *failing_take(void *ctx, size_t bytes)
{
    (void)ctx;
    return allocations_left-- > 0 ? lort_alloc_heap.take(NULL, bytes) : NULL;
}

static void every_failed_allocation_is_clean(void **state)
{
    (void)state;
    for (int directory = 0; directory < 2; directory++) {
        const lort_alloc alloc = {failing_take, lort_alloc_heap.give, NULL};
        const lort_publish_options options = {.mode = 0644, .directory = directory};
        lort_code code = LORT_E_MEMORY;
        for (int n = 0; code == LORT_E_MEMORY; n++) {
            lort_publish *p;
            allocations_left = n;
            code = lort_publish_begin(output, &options, &alloc, &p, NULL);
            assert_true(n < 100 && (code == LORT_OK || !p));
            lort_publish_close(p);
            assert_int_equal(names_in(dir), 0);
        }
        assert_int_equal(code, LORT_OK);
    }
}

/* Nobody else writes: too few descriptors must not look like another writer. The next run takes
 * over the rest. */
static void too_few_descriptors_are_no_other_writer(void **state)
{
    (void)state;
    struct rlimit was, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    for (int directory = 0; directory < 2; directory++) {
        lort_code code = LORT_E_WRITE;
        int refused = 0;
        for (few = was, few.rlim_cur = 3; code; few.rlim_cur++) {
            lort_publish *p;
            lort_error err = {0};
            assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
            code = begin(&p, (lort_publish_options){.mode = 0644, .directory = directory}, &err);
            lort_publish_close(p);
            assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
            assert_true(few.rlim_cur < 100 && (code == LORT_OK || code == LORT_E_WRITE));
            assert_true(code == LORT_OK || strstr(err.message, "Too many open files"));
            refused += code != LORT_OK;
        }
        assert_true(refused >= 2);
        lort_publish *p;
        assert_int_equal(
            begin(&p, (lort_publish_options){.mode = 0644, .directory = directory}, NULL), LORT_OK);
        lort_publish_close(p);
        assert_int_equal(names_in(dir), 0);
    }
}

/* ---- resumable files ---- */

static char part[80];

static bool any_beginning(const uint8_t *head, uint64_t n)
{
    (void)head;
    return n > 0;
}

static lort_code resume(lort_publish **out, lort_publish_options options)
{
    snprintf(part, sizeof part, "%s.part", output);
    options.resumable = true;
    options.begins = any_beginning;
    options.mode = 0600;
    return begin(out, options, NULL);
}

static void unfinished(const char *text)
{
    lort_publish *p;
    assert_int_equal(resume(&p, (lort_publish_options){0}), LORT_OK);
    assert_int_equal(lort_publish_append(p, text, strlen(text), NULL), LORT_OK);
    assert_false(lort_publish_stays(p));
    assert_int_equal(lort_publish_checkpoint(p, NULL), LORT_OK);
    assert_true(lort_publish_stays(p));
    lort_publish_close(p);
    assert_file(part, text);
}

static void unfinished_files_are_gone_on_with(void **state)
{
    lort_publish *p;
    char seen[6] = {0};
    (void)state;
    unfinished("hello w");
    assert_int_equal(resume(&p, (lort_publish_options){0}), LORT_OK);
    assert_string_equal(lort_publish_partial(p), "out.part");
    assert_int_equal(lort_publish_found(p), 7);
    assert_int_equal(lort_publish_look(p, seen, 5, 1, NULL), LORT_OK);
    assert_string_equal(seen, "ello ");
    assert_int_equal(lort_publish_look(p, seen, 5, 3, NULL), LORT_E_INTERNAL);
    assert_int_equal(lort_publish_adopt(p, 8, NULL), LORT_E_INTERNAL);
    assert_int_equal(lort_publish_adopt(p, 2, NULL), LORT_OK);
    assert_int_equal(lort_publish_adopt(p, 4, NULL), LORT_OK);
    assert_int_equal(lort_publish_adopt(p, 2, NULL), LORT_E_INTERNAL);
    assert_int_equal(lort_publish_size(p), 6);
    assert_int_equal(lort_publish_drop(p, NULL), LORT_OK);
    assert_int_equal(lort_publish_found(p), 0);
    assert_file(part, "hello ");
    assert_int_equal(lort_publish_append(p, "moon", 4, NULL), LORT_OK);
    assert_int_equal(lort_publish_settle(p, NULL), LORT_OK);
    assert_int_equal(lort_publish_commit(p, NULL), LORT_OK);
    lort_publish_close(p);
    assert_file(output, "hello moon");
    assert_int_equal(names_in(dir), 1);
    unlink(output);
}

static void what_is_worth_keeping_stays(void **state)
{
    lort_publish *p;
    (void)state;
    unfinished("work");
    assert_int_equal(resume(&p, (lort_publish_options){0}), LORT_OK); /* looked at, nothing done */
    lort_publish_close(p);
    assert_file(part, "work");
    assert_int_equal(resume(&p, (lort_publish_options){0}), LORT_OK);
    assert_int_equal(lort_publish_drop(p, NULL), LORT_OK); /* nothing worth keeping */
    lort_publish_close(p);
    assert_int_equal(names_in(dir), 0);
    unfinished("work");
    assert_int_equal(resume(&p, (lort_publish_options){0}), LORT_OK);
    lort_publish_keep(p, false);
    lort_publish_close(p);
    assert_int_equal(names_in(dir), 0);
}

/* The resuming writer must find out which bytes are still good. */
static void a_file_that_reads_back_otherwise_is_not_published(void **state)
{
    lort_publish *p;
    lort_error err;
    (void)state;
    assert_int_equal(resume(&p, (lort_publish_options){0}), LORT_OK);
    assert_int_equal(lort_publish_append(p, "right", 5, NULL), LORT_OK);
    assert_int_equal(lort_publish_checkpoint(p, NULL), LORT_OK);
    put_file(part, "wrong");
    assert_int_equal(lort_publish_commit(p, &err), LORT_E_WRITE);
    assert_non_null(strstr(err.message, "failing disk"));
    lort_publish_close(p);
    assert_file(part, "wrong");
    assert_int_equal(resume(&p, (lort_publish_options){0}), LORT_OK);
    lort_publish_distrust(p);
    assert_int_equal(lort_publish_adopt(p, 3, NULL), LORT_OK);
    lort_publish_keep(p, false);
    lort_publish_close(p);
    assert_int_equal(names_in(dir), 0);
}

static bool always(void *ctx)
{
    (void)ctx;
    return true;
}

static void reading_back_can_be_stopped(void **state)
{
    lort_publish *p;
    (void)state;
    assert_int_equal(resume(&p, (lort_publish_options){.stop = always}), LORT_OK);
    assert_int_equal(lort_publish_append(p, "right", 5, NULL), LORT_OK);
    assert_int_equal(lort_publish_checkpoint(p, NULL), LORT_OK);
    assert_int_equal(lort_publish_commit(p, NULL), LORT_E_STOPPED);
    lort_publish_close(p);
    assert_file(part, "right");
    unlink(part);
}

/* If somebody takes the name meanwhile, no work is lost. */
static void a_late_file_leaves_resumable_work(void **state)
{
    lort_publish *p;
    (void)state;
    assert_int_equal(resume(&p, (lort_publish_options){0}), LORT_OK);
    assert_int_equal(lort_publish_append(p, "new", 3, NULL), LORT_OK);
    assert_int_equal(lort_publish_checkpoint(p, NULL), LORT_OK);
    put_file(output, "late");
    assert_int_equal(lort_publish_commit(p, NULL), LORT_E_EXISTS);
    lort_publish_close(p);
    assert_file(output, "late");
    assert_file(part, "new");
    unlink(output);
    unlink(part);
}

/* The message names the holder of a lock. A mode wider than the input's is narrowed. */
static void resumable_files_are_locked(void **state)
{
    lort_publish *p, *second;
    lort_error err;
    char who[40];
    (void)state;
    put_file(part, "old");
    assert_int_equal(chmod(part, 0666), 0);
    assert_int_equal(resume(&p, (lort_publish_options){0}), LORT_OK);
    assert_mode(part, 0600);
    assert_int_equal(
        begin(&second,
              (lort_publish_options){.mode = 0600, .resumable = true, .begins = any_beginning},
              &err),
        LORT_E_EXISTS);
    snprintf(who, sizeof who, "process %d on this host", (int)getpid());
#if !defined(_WIN32) /* which does not tell who holds a lock */
    assert_true(strstr(err.message, who) || access("/proc/self/fdinfo", R_OK) != 0);
#endif
    lort_publish_keep(p, false);
    lort_publish_close(p);
    assert_int_equal(names_in(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_appears_whole),
        cmocka_unit_test(what_follows_a_mark_can_be_taken_back),
        cmocka_unit_test(nothing_appears_without_commit),
        cmocka_unit_test(existing_output_is_refused_at_once),
        cmocka_unit_test(links_and_fifos_are_refused_at_once),
        cmocka_unit_test(force_replaces_at_commit_only),
        cmocka_unit_test(a_late_file_survives),
        cmocka_unit_test(a_directory_appears_whole),
        cmocka_unit_test(a_tree_appears_whole),
        cmocka_unit_test(a_tree_without_commit_is_gone),
        cmocka_unit_test(a_replaced_folder_is_not_entered),
        cmocka_unit_test(a_link_for_a_folder_is_not_entered),
        cmocka_unit_test(only_written_files_get_into_the_tree),
        cmocka_unit_test(a_dead_writers_tree_is_taken_over),
        cmocka_unit_test(a_second_writer_is_refused),
        cmocka_unit_test(a_dead_writers_partial_is_taken_over),
        cmocka_unit_test(foreign_files_stay_as_they_are),
        cmocka_unit_test(names_that_lead_elsewhere_are_refused),
        cmocka_unit_test(links_and_fifos_at_its_names_are_refused),
        cmocka_unit_test(foreign_directories_stay_as_they_are),
        cmocka_unit_test(a_link_in_a_dead_writers_directory_is_refused),
        cmocka_unit_test(a_replaced_partial_is_not_taken_over),
        cmocka_unit_test(only_the_written_file_gets_the_name),
        cmocka_unit_test(only_the_written_directory_gets_the_name),
        cmocka_unit_test(only_written_files_get_into_the_directory),
        cmocka_unit_test(force_replaces_the_link),
        cmocka_unit_test(own_only_replaces_what_lort_made),
        cmocka_unit_test(a_full_disk_is_said_at_once),
        cmocka_unit_test(a_missing_place_is_said_at_once),
        cmocka_unit_test(every_failed_write_leaves_the_old_file),
        cmocka_unit_test(a_killed_writer_leaves_no_lock),
        cmocka_unit_test(of_many_writers_one_wins),
        cmocka_unit_test(every_failed_allocation_is_clean),
        cmocka_unit_test(too_few_descriptors_are_no_other_writer),
        cmocka_unit_test(unfinished_files_are_gone_on_with),
        cmocka_unit_test(what_is_worth_keeping_stays),
        cmocka_unit_test(a_file_that_reads_back_otherwise_is_not_published),
        cmocka_unit_test(reading_back_can_be_stopped),
        cmocka_unit_test(a_late_file_leaves_resumable_work),
        cmocka_unit_test(resumable_files_are_locked),
    };
    CHILD_SERVE(writers);
    return run_chosen(tests, set_up, tear_down);
}
