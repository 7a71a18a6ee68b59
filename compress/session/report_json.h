/* report_json: the JSON library behind lort_report_json of lort.h. */
#ifndef LORT_COMPRESS_SESSION_REPORT_JSON_H
#define LORT_COMPRESS_SESSION_REPORT_JSON_H

/* The version of jansson: "2.14". */
const char *lort_report_json_version(void);

#endif
