/* own: see own.h. */
#include "loader/store/own.h"
#include "formats/base/text.h"
#include <stdio.h>
#include <string.h>

bool lort_own_resembles(const uint8_t *head, const uint8_t *wanted, uint64_t n)
{
    uint64_t differ = 0;
    for (uint64_t i = 0; i < n; i++)
        differ += head[i] != wanted[i];
    return differ <= (n >= 8);
}

/* True for a file that is empty, or that a loss of power left with a few zeros. */
static bool is_blank(const uint8_t *head, uint64_t n)
{
    static const uint8_t zeros[LORT_OWN_HEAD];
    return n < LORT_OWN_HEAD && memcmp(head, zeros, n) == 0;
}

lort_code lort_own_refuse(lort_dir *dir, const char *name, const char *why, lort_error *err)
{
    char place[300], shown[300];
    return lort_fail(
        err, LORT_E_EXISTS,
        "'%s' in '%s' is not from LoRT (%s): LoRT leaves it as it is; move it away, or "
        "choose another output",
        lort_escape_text(shown, sizeof shown, name),
        lort_escape_text(place, sizeof place, lort_os_dir_path(dir)), why);
}

lort_code lort_own_check(lort_dir *dir, const char *name, const lort_file_info *info,
                         lort_error *err)
{
    char why[80] = "";
    if (info->kind != LORT_FILE_REGULAR)
        snprintf(why, sizeof why, "it is %s", info->kind_text);
    else if (info->links > 1)
        snprintf(why, sizeof why, "the file has %llu names", (unsigned long long)info->links);
    else if (!lort_os_is_own_user(dir, info->owner))
        snprintf(why, sizeof why, "it belongs to user %llu", (unsigned long long)info->owner);
    return *why ? lort_own_refuse(dir, name, why, err) : LORT_OK;
}

/* The file that cannot be read is the output. */
static lort_code of_output(lort_code code, lort_error *err)
{
    if (code != LORT_E_READ)
        return code;
    if (err)
        err->code = LORT_E_WRITE;
    return LORT_E_WRITE;
}

/* Reads *n bytes, at most LORT_OWN_HEAD. Another writer may cut the file meanwhile; then LoRT looks
 * again. */
static lort_code read_head(lort_file *file, uint8_t *head, uint64_t *n, lort_error *err)
{
    lort_file_info info;
    lort_code code = LORT_E_READ;
    *n = 0;
    for (int i = 0; i < 3 && code == LORT_E_READ; i++) {
        code = lort_os_info(file, &info, err);
        *n = info.size < LORT_OWN_HEAD ? info.size : LORT_OWN_HEAD;
        if (code == LORT_OK)
            code = lort_os_read(file, head, *n, 0, err);
    }
    return of_output(code, err);
}

/* *there is false if the file has lost its last name since LoRT opened it. */
static lort_code check_open(lort_dir *dir, const char *name, lort_own_fn *begins, lort_file *file,
                            bool *there, lort_error *err)
{
    uint8_t head[LORT_OWN_HEAD];
    uint64_t n;
    lort_file_info info;
    lort_code code = of_output(lort_os_info(file, &info, err), err);
    *there = info.links > 0;
    if (code || !*there)
        return code;
    code = lort_own_check(dir, name, &info, err);
    if (code == LORT_OK)
        code = read_head(file, head, &n, err);
    if (code == LORT_OK && !is_blank(head, n) && !(begins && begins(head, n)))
        code = lort_own_refuse(dir, name, "it does not begin as such a file of LoRT begins", err);
    return code;
}

lort_code lort_own_open(lort_dir *dir, const char *name, lort_own_fn *begins, lort_file **file,
                        lort_error *err)
{
    lort_file_info info;
    bool there;
    *file = NULL;
    lort_code code = lort_os_look(dir, name, &info, &there, err);
    if (code == LORT_OK && there)
        code = lort_own_check(dir, name, &info, err);
    if (code || !there)
        return code;
    code = lort_os_open_found(dir, name, file, err);
    if (code || !*file)
        return code;
    code = check_open(dir, name, begins, *file, &there, err);
    if (code || !there) {
        lort_os_close(*file, NULL);
        *file = NULL;
    }
    return code;
}

lort_code lort_own_remove(lort_dir *dir, const char *name, const lort_file *file, lort_error *err)
{
    bool same;
    lort_code code = lort_os_leads_to(dir, name, file, &same, err);
    return code || !same ? code : lort_os_remove(dir, name, false, err);
}

lort_code lort_own_begin(lort_file *file, const void *beginning, uint64_t n, lort_error *err)
{
    lort_file_info info;
    lort_code code = of_output(lort_os_info(file, &info, err), err);
    if (code == LORT_OK && info.size)
        code = lort_os_truncate(file, 0, err);
    if (code == LORT_OK && info.size)
        code = lort_os_sync(file, err);
    if (code == LORT_OK)
        code = lort_os_write(file, beginning, n, 0, err);
    return code ? code : lort_os_sync(file, err);
}
