/* The files of this folder and the plotting library, built in by assets.cmake. */
#ifndef REPORT_ASSETS_H
#define REPORT_ASSETS_H

#include <stddef.h>

struct asset {
    const unsigned char *data;
    size_t len; /* 0: was not there when this was built */
};

extern const struct asset asset_page_html, asset_page_css, asset_page_js, asset_plot_css,
    asset_plot_js, asset_plot_license;

#endif
