/* os_posix_library: libraries that are loaded when they are needed. */
#include "loader/os/os.h"
#include <dlfcn.h>
#include <string.h>

void *lort_os_library(const char *const *names)
{
    void *library = NULL;
    for (; *names && !library; names++)
        library = dlopen(*names, RTLD_NOW | RTLD_LOCAL);
    return library;
}

/* ISO C has no conversion of a pointer to data into one to a function; POSIX says that both are
 * alike. */
bool lort_os_library_find(void *library, const char *name, void *function)
{
    void *const found = dlsym(library, name);
    memcpy(function, &found, sizeof found);
    return found != NULL;
}
