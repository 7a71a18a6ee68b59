/* Tests of a build without HTTP (make WITH_CURL=0). The file that it has in place of http.c is
 * compiled in here, so the linker does not take the other one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/http/http_none.c"
#include "loader/remote/remote.h"
#include "tests/unit/main.h"

static void a_model_on_the_network_is_refused(void **state)
{
    char url[] = "https://127.0.0.1/model.gguf";
    const lort_source source = {.kind = LORT_SOURCE_URL, .url = url};
    const lort_remote_options options = {0};
    lort_error err = {0};
    lort_remote *remote = (void *)&err;
    assert_false(lort_remote_built());
    assert_int_equal(lort_remote_open(&source, &options, &lort_alloc_heap, &remote, &err),
                     LORT_E_USAGE);
    assert_null(remote);
    assert_non_null(strstr(err.message, "this build of LoRT has no HTTP"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_model_on_the_network_is_refused)};
    return run_chosen(tests, NULL, NULL);
}
