/* Fuzz target: GGUF headers. No crash, bounded memory. An accepted header keeps the promises of
 * formats/inputs/format.h. */
#include "formats/inputs/format.h"
#include "fuzz_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_header(&lort_format_gguf, data, size);
}
