/* assets: the files that LoRT puts into an HTML report, as bytes in the program. */
#ifndef LORT_COMPRESS_REPORT_ASSETS_H
#define LORT_COMPRESS_REPORT_ASSETS_H

#include <stddef.h>

typedef enum lort_asset {
    LORT_ASSET_STYLE,  /* compress/report/page.css */
    LORT_ASSET_D3,     /* compress/report/vendor/d3.min.js */
    LORT_ASSET_PLOT,   /* compress/report/vendor/plot.umd.min.js */
    LORT_ASSET_SCRIPT, /* compress/report/page.js */
    LORT_ASSET_D3_LICENSE,
    LORT_ASSET_PLOT_LICENSE
} lort_asset;

/* The bytes of a file; *n: their number. No NUL follows. */
const char *lort_asset_bytes(lort_asset asset, size_t *n);

#endif
