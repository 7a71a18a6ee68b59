/* A main() for a fuzz target without a fuzzer: it runs the target over the named files, and over
 * those in the named directories. An input that takes REPLAY_SECONDS ends the program by SIGALRM.
 */
#define _POSIX_C_SOURCE 200809L
#include "fuzz.h"
#include <dirent.h>
#include <unistd.h>

#define REPLAY_SECONDS 60 /* the longest of today takes 0.3 s, on a busy machine */

static unsigned long replayed;

/* The input is an exact-size copy, so that ASan sees one byte too many. */
static int replay_file(const char *path)
{
    int result = 1;
    long size = 0;
    uint8_t *data = NULL;
    FILE *f = fopen(path, "rb");
    if (f && fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) >= 0)
        data = malloc(size ? (size_t)size : 1);
    if (data) {
        rewind(f);
        result = fread(data, 1, (size_t)size, f) != (size_t)size;
    }
    if (result) {
        fprintf(stderr, "%s cannot be read\n", path);
    } else {
        alarm(REPLAY_SECONDS);
        LLVMFuzzerTestOneInput(data, (size_t)size);
        alarm(0);
        replayed++;
    }
    free(data);
    if (f)
        fclose(f);
    return result;
}

static int replay_directory(DIR *directory, const char *path)
{
    int failed = 0;
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        char name[4096];
        if (entry->d_name[0] == '.')
            continue;
        int n = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        failed |= n < 0 || (size_t)n >= sizeof name || replay_file(name);
    }
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        DIR *directory = opendir(argv[i]);
        failed |= directory ? replay_directory(directory, argv[i]) : replay_file(argv[i]);
        if (directory)
            closedir(directory);
    }
    printf("replayed %lu inputs\n", replayed);
    return failed || replayed == 0;
}
