/* report_json: lort_report_json of lort.h, and which library writes it. */
#ifndef LORT_COMPRESS_SESSION_REPORT_JSON_H
#define LORT_COMPRESS_SESSION_REPORT_JSON_H

const char *lort_report_json_version(void); /* of jansson: "2.14" */

#endif
