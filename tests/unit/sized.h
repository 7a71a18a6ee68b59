/* The first member of each struct of options, for tests that fill one by hand. Programs call the
 * init functions. */
#ifndef LORT_TESTS_SIZED_H
#define LORT_TESTS_SIZED_H

#include "compress/lort.h"

#define RUN_SIZE .size = sizeof(lort_run_options)
#define VERIFY_SIZE .size = sizeof(lort_verify_options)
#define RESTORE_SIZE .size = sizeof(lort_restore_options)
#define QUANTIZE_SIZE .size = sizeof(lort_quantize_options)

#endif
