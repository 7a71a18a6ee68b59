/* proc: parses the texts of /proc and /sys/fs/cgroup. It includes no OS header: lort_os_read_text
 * reads the files. */
#include "loader/os/linux/proc.h"

#include "loader/os/os.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOUNTS_CAP (1u << 20) /* size of /proc/self/mountinfo on a busy container host */

static const char *skip_blanks(const char *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

static bool number_at(const char **at, uint64_t *value)
{
    const char *p = skip_blanks(*at);
    uint64_t v = 0;
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        unsigned digit = (unsigned)(*p - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *at = p;
    *value = v;
    return true;
}

bool lort_proc_value(const char *text, const char *key, uint64_t *value)
{
    size_t n = strlen(key);
    for (const char *line = text, *end; line; line = end ? end + 1 : NULL) {
        end = strchr(line, '\n');
        if (strncmp(line, key, n) != 0 || (line[n] != ':' && line[n] != ' ' && line[n] != '\t'))
            continue;
        const char *p = line + n + (line[n] == ':');
        uint64_t v = 0;
        if (!number_at(&p, &v))
            return false;
        if (strncmp(skip_blanks(p), "kB", 2) == 0) {
            if (v > UINT64_MAX / 1024)
                return false;
            v *= 1024;
        }
        *value = v;
        return true;
    }
    return false;
}

/* True if `word` is an item of a list of n characters. Each character of `separators` separates
 * items. */
static bool has_word(const char *list, size_t n, const char *word, const char *separators)
{
    for (const char *p = list, *end = list + n; p < end;) {
        size_t m = strcspn(p, separators);
        if (m > (size_t)(end - p))
            m = (size_t)(end - p);
        if (m == strlen(word) && memcmp(p, word, m) == 0)
            return true;
        p += m + 1;
    }
    return false;
}

/* Copies n characters of a mountinfo field. The kernel writes blanks and backslashes as \ooo. */
static bool copy_field(char *out, size_t cap, const char *field, size_t n)
{
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        char c = field[i];
        if (c == '\\' && i + 3 < n && field[i + 1] >= '0' && field[i + 1] <= '3') {
            c = (char)((field[i + 1] - '0') * 64 + (field[i + 2] - '0') * 8 + (field[i + 3] - '0'));
            i += 3;
        }
        if (used + 1 >= cap)
            return false;
        out[used++] = c;
    }
    out[used] = '\0';
    return true;
}

/* Finds our path in /proc/self/cgroup. Its lines are "id:controllers:path"; version 2 is
 * "0::path". */
static bool own_path(const char *text, int version, const char *controller, char *out, size_t cap)
{
    for (const char *line = text; *line;) {
        size_t n = strcspn(line, "\n");
        const char *list = memchr(line, ':', n);
        const char *path = list ? memchr(list + 1, ':', n - (size_t)(list + 1 - line)) : NULL;
        if (path) {
            bool v2 = strncmp(line, "0::", 3) == 0;
            size_t m = (size_t)(line + n - (path + 1));
            if ((version == 2
                     ? v2
                     : !v2 && has_word(list + 1, (size_t)(path - list - 1), controller, ",")) &&
                m < cap) {
                memcpy(out, path + 1, m);
                out[m] = '\0';
                return true;
            }
        }
        line += n + (line[n] == '\n');
    }
    return false;
}

typedef struct mount {
    char root[512], point[512]; /* the mounted part of the hierarchy, and its mount point */
} mount;

/* Parses a mountinfo line: "id parent dev ROOT POINT options [tags] - TYPE source SUPEROPTIONS". */
static bool mount_of(const char *line, size_t n, int version, const char *controller, mount *out)
{
    const char *end = line + n, *field[5], *p = line;
    size_t size[5];
    for (int i = 0; i < 5; i++) {
        field[i] = p;
        size[i] = strcspn(p, " \n");
        p += size[i] + 1;
        if (p >= end)
            return false;
    }
    const char *tail = strstr(p, " - ");
    if (!tail || tail >= end)
        return false;
    const char *type = tail + 3, *options = end;
    while (options > type && options[-1] != ' ')
        options--;
    bool fits = version == 2 ? strncmp(type, "cgroup2 ", 8) == 0
                             : strncmp(type, "cgroup ", 7) == 0 &&
                                   has_word(options, (size_t)(end - options), controller, ",");
    return fits && copy_field(out->root, sizeof out->root, field[3], size[3]) &&
           copy_field(out->point, sizeof out->point, field[4], size[4]);
}

/* Sets *rest to the end of our path, below the mounted part. Example: "/docker/x/y" seen through a
 * mount of "/docker/x" is "/y". Returns false where the mount shows another part. Then only the top
 * of the mount is visible. */
static bool is_below(const char *path, const char *mounted, const char **rest)
{
    size_t n = strcmp(mounted, "/") == 0 ? 0 : strlen(mounted);
    *rest = "";
    if (strncmp(path, mounted, n) != 0 || (path[n] != '/' && path[n] != '\0') ||
        strstr(path, "/.."))
        return false;
    if (strcmp(path + n, "/") != 0)
        *rest = path + n;
    return true;
}

/* Returns false if a path of this machine is too long for `out`. Sets *exact if the mount shows our
 * own group, not only a group above it. */
static bool set_group(const char *root, const mount *at, const char *path, int version,
                      lort_group *out, bool *exact)
{
    const char *rest;
    bool shown = is_below(path, at->root, &rest);
    out->version = version;
    out->top_chars = strlen(root) + strlen(at->point);
    int n = snprintf(out->dir, sizeof out->dir, "%s%s%s", root, at->point, rest);
    bool fits = n > 0 && (size_t)n < sizeof out->dir;
    *exact = shown && fits;
    return fits;
}

static bool has_controller(const lort_group *group, const char *controller)
{
    char text[1024];
    lort_group top = *group;
    top.dir[top.top_chars] = '\0';
    return lort_group_text(&top, "cgroup.controllers", text, sizeof text) &&
           has_word(text, strlen(text), controller, " \n");
}

static bool find_version(const char *root, const char *mounts, const char *own, int version,
                         const char *controller, lort_group *out)
{
    char path[1024];
    bool found = false, exact = false;
    if (!own_path(own, version, controller, path, sizeof path))
        return false;
    for (const char *line = mounts, *next; *line && !exact; line = next) {
        size_t n = strcspn(line, "\n");
        mount at;
        lort_group group;
        next = line + n + (line[n] == '\n');
        if (!mount_of(line, n, version, controller, &at) ||
            !set_group(root, &at, path, version, &group, &exact) ||
            (version == 2 && !has_controller(&group, controller)))
            continue;
        *out = group;
        found = true;
    }
    return found;
}

bool lort_group_find(const char *root, const char *controller, lort_group *out)
{
    char path[600], own[4096];
    bool found = false;
    memset(out, 0, sizeof *out);
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    char *mounts = malloc(MOUNTS_CAP);
    if (mounts && lort_os_read_text(path, own, sizeof own)) {
        snprintf(path, sizeof path, "%s/proc/self/mountinfo", root);
        if (lort_os_read_text(path, mounts, MOUNTS_CAP))
            found = find_version(root, mounts, own, 2, controller, out) ||
                    find_version(root, mounts, own, 1, controller, out);
    }
    free(mounts);
    return found;
}

bool lort_group_up(lort_group *group)
{
    char *slash = strrchr(group->dir + group->top_chars, '/');
    if (!slash)
        return false;
    *slash = '\0';
    return true;
}

bool lort_group_text(const lort_group *group, const char *file, char *out, size_t cap)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/%s", group->dir, file);
    return lort_os_read_text(path, out, cap);
}

bool lort_group_number(const lort_group *group, const char *file, uint64_t *value)
{
    char text[64];
    const char *p = text;
    return lort_group_text(group, file, text, sizeof text) && number_at(&p, value);
}
