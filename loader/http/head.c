/* head: see head.h. One table gives each header its reader. */
#include "loader/http/head.h"
#include "loader/http/date.h"
#include <string.h>

#define MOST_LINE 16384u /* two addresses; libcurl gives up at 100 KB */

static char to_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

/* Compares n bytes with a text in lower case. */
static bool is_word(const char *text, size_t n, const char *word)
{
    if (n != strlen(word))
        return false;
    for (size_t i = 0; i < n; i++)
        if (to_lower(text[i]) != word[i])
            return false;
    return true;
}

/* Reads digits. *at: moves behind them. Returns false if there are none or too many. */
static bool read_number(const char **at, uint64_t *out)
{
    const char *text = *at;
    uint64_t v = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        const uint64_t digit = (uint64_t)(*text - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = 10 * v + digit;
    }
    const bool some = text > *at;
    *at = text;
    *out = v;
    return some;
}

static bool read_whole_number(const char *text, uint64_t *out)
{
    return read_number(&text, out) && *text == 0;
}

static void copy(lort_head *head, char *out, size_t cap, const char *text, size_t n)
{
    if (n >= cap) {
        head->faulty = true;
        n = 0;
    }
    memcpy(out, text, n);
    out[n] = 0;
}

/* ---- one reader for each header ---- */

static void read_length(lort_head *head, const char *value)
{
    head->has_length = read_whole_number(value, &head->length);
    head->faulty |= !head->has_length;
}

/* "bytes 0-99/1000", "bytes 0-99/" and "*" for an unknown size, "bytes *" and "/1000" for none. */
static bool read_range_parts(lort_head *head, const char *at)
{
    if (strncmp(at, "bytes ", 6) != 0)
        return false;
    at += 6;
    if (*at == '*') {
        at++;
    } else {
        if (!read_number(&at, &head->first) || *at++ != '-' || !read_number(&at, &head->last) ||
            head->last < head->first)
            return false;
        head->has_range = true;
    }
    if (*at++ != '/')
        return false;
    if (strcmp(at, "*") == 0)
        return head->has_range;
    head->has_total = read_whole_number(at, &head->total);
    return head->has_total && (!head->has_range || head->last < head->total);
}

static void read_range(lort_head *head, const char *value)
{
    head->has_range = head->has_total = false;
    if (read_range_parts(head, value))
        return;
    head->has_range = head->has_total = false;
    head->faulty = true;
}

static void read_encoding(lort_head *head, const char *value)
{
    head->encoded = *value && !is_word(value, strlen(value), "identity");
}

static void read_type(lort_head *head, const char *value)
{
    head->html = is_word(value, strcspn(value, "; "), "text/html");
}

/* Copies a tag without W/ and quotes. */
static void read_tag(lort_head *head, const char *value, char *out, bool *weak)
{
    *weak = value[0] == 'W' && value[1] == '/';
    if (*weak)
        value += 2;
    size_t n = strlen(value);
    if (n >= 2 && value[0] == '"' && value[n - 1] == '"') {
        value++;
        n -= 2;
    }
    copy(head, out, LORT_ETAG_MAX, value, n);
}

static void read_etag(lort_head *head, const char *value)
{
    read_tag(head, value, head->etag, &head->weak);
}

static void read_linked_etag(lort_head *head, const char *value)
{
    bool weak;
    read_tag(head, value, head->linked_etag, &weak);
}

static void read_modified(lort_head *head, const char *value)
{
    copy(head, head->modified, sizeof head->modified, value, strlen(value));
}

static void read_location(lort_head *head, const char *value)
{
    copy(head, head->location, sizeof head->location, value, strlen(value));
}

/* <URL>; rel="next", <URL>; rel="last" */
static void read_link(lort_head *head, const char *value)
{
    for (const char *at = strchr(value, '<'); at; at = strchr(at, '<')) {
        const char *end = strchr(at, '>');
        if (!end)
            return;
        const size_t words = strcspn(end, "<");
        const char *rel = strstr(end, "rel=");
        if (rel && (size_t)(rel - end) < words &&
            (strncmp(rel + 4, "\"next\"", 6) == 0 || strncmp(rel + 4, "next", 4) == 0))
            copy(head, head->next, sizeof head->next, at + 1, (size_t)(end - at - 1));
        at = end;
    }
}

/* "resolvers";r=0;t=55, maybe several of them. One with r above 0 asks for no wait. */
static void read_rate(lort_head *head, const char *value)
{
    while (*value) {
        const size_t n = strcspn(value, ",");
        uint64_t left = 0, wait = 0, v;
        for (size_t at = strcspn(value, ";,"); at < n; at += 1 + strcspn(value + at + 1, ";,")) {
            const char *word = value + at + 1 + strspn(value + at + 1, " ");
            const char *digits = word + 2;
            if (strncmp(word, "r=", 2) == 0 && read_number(&digits, &v))
                left = v;
            if (strncmp(word, "t=", 2) == 0 && read_number(&digits, &v))
                wait = v;
        }
        if (left == 0 && wait > head->rate_wait)
            head->rate_wait = wait < LORT_WAIT_MAX ? (uint32_t)wait : LORT_WAIT_MAX;
        value += n + (value[n] == ',');
    }
    head->rated = head->rate_wait > 0;
}

static void read_retry(lort_head *head, const char *value)
{
    uint64_t seconds;
    if (read_whole_number(value, &seconds)) {
        head->has_retry = true;
        head->retry_wait = seconds < LORT_WAIT_MAX ? (uint32_t)seconds : LORT_WAIT_MAX;
    } else {
        head->has_retry_at = lort_date_http(value, &head->retry_at);
    }
}

static void read_date(lort_head *head, const char *value)
{
    head->has_date = lort_date_http(value, &head->date);
}

static void read_linked_size(lort_head *head, const char *value)
{
    head->has_linked_size = read_whole_number(value, &head->linked_size);
    head->faulty |= !head->has_linked_size;
}

static void read_commit(lort_head *head, const char *value)
{
    copy(head, head->commit, sizeof head->commit, value, strlen(value));
}

static void read_error_code(lort_head *head, const char *value)
{
    copy(head, head->error_code, sizeof head->error_code, value, strlen(value));
}

/* A long message is cut, since only people read it. */
static void read_error_message(lort_head *head, const char *value)
{
    const size_t n = strlen(value), most = sizeof head->error_message - 1;
    copy(head, head->error_message, sizeof head->error_message, value, n < most ? n : most);
}

static const struct {
    const char *name; /* in lower case */
    void (*read)(lort_head *head, const char *value);
} readers[] = {
    {"content-length", read_length},
    {"content-range", read_range},
    {"content-encoding", read_encoding},
    {"content-type", read_type},
    {"etag", read_etag},
    {"last-modified", read_modified},
    {"location", read_location},
    {"link", read_link},
    {"ratelimit", read_rate},
    {"retry-after", read_retry},
    {"date", read_date},
    {"x-linked-size", read_linked_size},
    {"x-linked-etag", read_linked_etag},
    {"x-repo-commit", read_commit},
    {"x-error-code", read_error_code},
    {"x-error-message", read_error_message},
};

/* ---- lines ---- */

/* "HTTP/1.1 206 Partial Content" */
static void read_status(lort_head *head, const char *line)
{
    memset(head, 0, sizeof *head);
    const char *at = line + strcspn(line, " ");
    at += strspn(at, " ");
    uint64_t status;
    if (read_number(&at, &status) && status >= 100 && status <= 999)
        head->status = (uint32_t)status;
    else
        head->faulty = true;
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

void lort_head_line(lort_head *head, const void *line, uint64_t bytes)
{
    const char *from = line;
    while (bytes && is_space(from[bytes - 1]))
        bytes--;
    if (bytes == 0)
        return;
    char text[MOST_LINE];
    if (bytes >= sizeof text || memchr(from, 0, bytes)) {
        head->faulty = true;
        return;
    }
    memcpy(text, from, bytes);
    text[bytes] = 0;
    if (bytes >= 5 && memcmp(text, "HTTP/", 5) == 0) {
        read_status(head, text);
        return;
    }
    const size_t n = strcspn(text, ":");
    const char *value = text + n + (text[n] == ':');
    while (is_space(*value))
        value++;
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (is_word(text, n, readers[i].name))
            readers[i].read(head, value);
}

bool lort_head_is_busy(const lort_head *head)
{
    return head->status == 408 || head->status == 425 || head->status == 429 ||
           (head->status >= 500 && head->status <= 599);
}

bool lort_head_is_redirect(const lort_head *head)
{
    return head->status == 301 || head->status == 302 || head->status == 303 ||
           head->status == 307 || head->status == 308;
}

uint32_t lort_head_wait(const lort_head *head, int64_t now)
{
    if (head->rated)
        return head->rate_wait;
    if (head->has_retry)
        return head->retry_wait;
    if (!head->has_retry_at)
        return 0;
    const int64_t wait = head->retry_at - (head->has_date ? head->date : now);
    return wait <= 0 ? 0 : wait < LORT_WAIT_MAX ? (uint32_t)wait : LORT_WAIT_MAX;
}
