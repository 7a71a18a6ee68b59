/* os_linux_peer: names this process, and tells whether another process of this host lives. */
#define _GNU_SOURCE
#include "loader/os/posix/os_posix.h"
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Reads state and start time from /proc/ID/stat: "ID (NAME) STATE ..."; field 22 is the start, in
 * clock ticks since the boot. NAME can hold any byte, ')' too. */
static bool read_stat(const char *id, char *state, uint64_t *start)
{
    char path[64], text[2048];
    snprintf(path, sizeof path, "/proc/%s/stat", id);
    const char *at = lort_os_read_text(path, text, sizeof text) ? strrchr(text, ')') : NULL;
    if (!at || sscanf(at, ") %c", state) != 1)
        return false;
    for (int field = 2; at && field < 22; field++) {
        at = strchr(at, ' ');
        at = at ? at + 1 : NULL;
    }
    return at && sscanf(at, "%" SCNu64, start) == 1;
}

void lort_os_process_name(lort_process_name *out)
{
    char state;
    *out = (lort_process_name){.id = (uint64_t)getpid()};
    if (gethostname(out->host, sizeof out->host - 1) != 0)
        out->host[0] = '\0';
    if (lort_os_read_text("/proc/sys/kernel/random/boot_id", out->boot, sizeof out->boot))
        out->boot[strcspn(out->boot, "\n")] = '\0';
    if (readlink("/proc/self/ns/pid", out->space, sizeof out->space - 1) < 0)
        out->space[0] = '\0';
    if (!read_stat("self", &state, &out->start))
        out->start = 0;
}

/* A zombie writes no more. */
lort_process_state lort_os_process_state(uint64_t id, uint64_t start)
{
    char name[32], state;
    uint64_t found;
    snprintf(name, sizeof name, "%" PRIu64, id);
    if (id == 0 || id > INT32_MAX || start == 0)
        return LORT_PROCESS_UNKNOWN;
    if (!read_stat(name, &state, &found))
        return kill((pid_t)id, 0) != 0 && errno == ESRCH ? LORT_PROCESS_DEAD : LORT_PROCESS_UNKNOWN;
    return found != start || state == 'Z' || state == 'X' ? LORT_PROCESS_DEAD : LORT_PROCESS_LIVES;
}
