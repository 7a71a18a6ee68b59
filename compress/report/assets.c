/* assets: see assets.h. The assembler copies the files as they are, so no generated source lies in
 * the tree. It reads them from the root of the tree, as the compiler reads headers; the Makefile
 * knows that this object depends on them. */
#include "compress/report/assets.h"

#ifdef _WIN32
#define READ_ONLY ".section .rdata,\"dr\"\n"
#define BACK ".text\n"
#else
#define READ_ONLY ".pushsection .rodata\n"
#define BACK ".popsection\n"
#endif

/* clang-format off */
#define ASSET(name, file)                                                                          \
    __asm__(READ_ONLY                                                                              \
            ".global lort_asset_" #name "\n"                                                       \
            ".global lort_asset_" #name "_end\n"                                                   \
            "lort_asset_" #name ":\n"                                                              \
            ".incbin \"" file "\"\n"                                                               \
            "lort_asset_" #name "_end:\n"                                                          \
            ".byte 0\n" BACK);                                                                     \
    extern const char lort_asset_##name[], lort_asset_##name##_end[]
/* clang-format on */

ASSET(style, "compress/report/page.css");
ASSET(d3, "compress/report/vendor/d3.min.js");
ASSET(plot, "compress/report/vendor/plot.umd.min.js");
ASSET(script, "compress/report/page.js");
ASSET(d3_license, "compress/report/vendor/d3.LICENSE");
ASSET(plot_license, "compress/report/vendor/plot.LICENSE");

const char *lort_asset_bytes(lort_asset asset, size_t *n)
{
    static const char *const ends[][2] = {
        [LORT_ASSET_STYLE] = {lort_asset_style, lort_asset_style_end},
        [LORT_ASSET_D3] = {lort_asset_d3, lort_asset_d3_end},
        [LORT_ASSET_PLOT] = {lort_asset_plot, lort_asset_plot_end},
        [LORT_ASSET_SCRIPT] = {lort_asset_script, lort_asset_script_end},
        [LORT_ASSET_D3_LICENSE] = {lort_asset_d3_license, lort_asset_d3_license_end},
        [LORT_ASSET_PLOT_LICENSE] = {lort_asset_plot_license, lort_asset_plot_license_end}};
    *n = (size_t)(ends[asset][1] - ends[asset][0]);
    return ends[asset][0];
}
