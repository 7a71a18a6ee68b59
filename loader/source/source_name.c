/* source_name: owns the forms of the text of a MODEL argument. It opens no file.
 *
 *     hf://[models/]ORG/NAME[@REV][/FILE]
 *     ENDPOINT/ORG/NAME[/tree|blob|resolve|raw|commit/REV[/FILE]]
 *     https://HOST/PATH      ollama:[HOST/][SPACE/]MODEL[:TAG]      ORG/NAME[@REV] */
#include "formats/base/text.h"
#include "loader/source/source_parts.h"
#include <stdio.h>
#include <string.h>

#define HUB "https://huggingface.co"

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static lort_code refuse(lort_error *err, const char *text, const char *why)
{
    char shown[300];
    return lort_fail(err, LORT_E_USAGE, "%s: %s", lort_escape_text(shown, sizeof shown, text), why);
}

static bool copy(char *out, size_t cap, const char *from, size_t n)
{
    if (n >= cap)
        return false;
    memcpy(out, from, n);
    out[n] = '\0';
    return true;
}

/* ---- names of repositories ---- */

/* ORG or NAME [huggingface_hub: _validators.py]. */
static bool is_repository_part(const char *part, size_t n)
{
    if (n == 0 || n > LORT_NAME_PART_MAX || strchr("-.", part[0]) || strchr("-.", part[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!is_alnum(part[i]) && !strchr("_.-", part[i]))
            return false;
        if (i + 1 < n && (memcmp(part + i, "--", 2) == 0 || memcmp(part + i, "..", 2) == 0))
            return false;
    }
    return !lort_text_ends_in(part, n, ".git");
}

/* Reads "ORG/NAME" or "NAME" in front of `stops`. Returns what follows, or NULL. */
static const char *read_repository(const char *at, const char *stops, bool single,
                                   lort_source_name *out)
{
    size_t n = strcspn(at, stops);
    if (!is_repository_part(at, n))
        return NULL;
    if (!single) {
        if (at[n] != '/')
            return NULL;
        const size_t second = strcspn(at + n + 1, stops);
        if (!is_repository_part(at + n + 1, second))
            return NULL;
        n += 1 + second;
    }
    copy(out->repository, sizeof out->repository, at, n);
    return at + n;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Undoes %XX of an address. False for a wrong one, for a NUL, and for a text that does not fit. */
static bool decode(const char *from, size_t n, char *out, size_t cap)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        char c = from[i];
        if (c == '%') {
            const int high = i + 1 < n ? hex_value(from[i + 1]) : -1,
                      low = i + 2 < n ? hex_value(from[i + 2]) : -1;
            if (high < 0 || low < 0 || (high == 0 && low == 0))
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (at + 1 >= cap)
            return false;
        out[at++] = c;
    }
    out[at] = '\0';
    return true;
}

static bool set_revision(lort_source_name *out, const char *from, size_t n)
{
    out->revision_given = true;
    return n > 0 && decode(from, n, out->revision, sizeof out->revision) &&
           lort_plain_path(out->revision, strlen(out->revision), NULL) == LORT_OK &&
           out->revision[0] != '-';
}

static bool set_file(lort_source_name *out, const char *from)
{
    size_t n = strcspn(from, "?#");
    while (n && from[n - 1] == '/')
        n--;
    return n == 0 || (decode(from, n, out->file, sizeof out->file) &&
                      lort_plain_path(out->file, strlen(out->file), NULL) == LORT_OK);
}

/* Bytes of a revision at the start of text: "refs/pr/1" has two slashes, any other none. */
static size_t revision_bytes(const char *text)
{
    size_t n = strcspn(text, "/?#");
    if (n == 4 && begins(text, "refs/"))
        for (int i = 0; i < 2 && text[n] == '/'; i++)
            n += 1 + strcspn(text + n + 1, "/?#");
    return n;
}

#define REPOSITORY_RULE                                                                            \
    "must name a model as ORG/NAME: each 1 to 96 letters, digits, '_', '-' and '.', neither "      \
    "'--' nor '..' in it, no '-' or '.' at an end, and no .git at the end"
#define REVISION_RULE "the revision must be a branch, a tag, a commit or refs/pr/N"
#define FILE_RULE "the file must be a plain path in the repository, without '..'"

/* Another kind of repository, or a page that is none. */
static bool is_no_model(const char *at)
{
    static const char *const kinds[] = {"datasets/", "spaces/", "buckets/", "api/",
                                        "docs/",     "blog/",   "papers/",  "collections/"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (begins(at, kinds[i]))
            return true;
    return false;
}

/* text: behind "hf://". */
static lort_code parse_hf(const char *whole, const char *text, lort_source_name *out,
                          lort_error *err)
{
    if (is_no_model(text))
        return refuse(err, whole, "is no repository of a model; only hf://ORG/NAME is read");
    text += begins(text, "models/") ? strlen("models/") : 0;
    const char *slash = strchr(text, '/'), *mark = strchr(text, '@');
    const bool single = !slash || !slash[1] || (mark && mark < slash);
    const char *at = read_repository(text, "/@", single, out);
    if (!at)
        return refuse(err, whole, REPOSITORY_RULE);
    if (*at == '@') {
        const size_t n = revision_bytes(at + 1);
        if (!set_revision(out, at + 1, n))
            return refuse(err, whole, REVISION_RULE);
        at += 1 + n;
    }
    return set_file(out, *at == '/' ? at + 1 : at) ? LORT_OK : refuse(err, whole, FILE_RULE);
}

/* ---- addresses ---- */

static const char *const pages[] = {"tree/", "blob/", "resolve/", "raw/", "commit/"};

static size_t page_bytes(const char *text)
{
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        if (begins(text, pages[i]))
            return strlen(pages[i]);
    return 0;
}

/* text: behind "ENDPOINT/". */
static lort_code parse_page(const char *whole, const char *text, lort_source_name *out,
                            lort_error *err)
{
    const size_t first = strcspn(text, "/?#");
    const bool single = text[first] != '/' || !text[first + 1] || page_bytes(text + first + 1) != 0;
    if (is_no_model(text))
        return refuse(err, whole, "is no repository of a model");
    const char *at = read_repository(text, "/?#", single, out);
    if (!at)
        return refuse(err, whole, REPOSITORY_RULE);
    at += *at == '/';
    if (strchr("?#", *at)) /* a NUL too */
        return LORT_OK;
    const size_t page = page_bytes(at);
    if (!page)
        return refuse(
            err, whole,
            "is a page beside the files of the model; only .../tree/REV, .../blob/REV and "
            ".../resolve/REV are read");
    at += page;
    const size_t n = revision_bytes(at);
    if (!set_revision(out, at, n))
        return refuse(err, whole, REVISION_RULE);
    return set_file(out, at[n] == '/' ? at + n + 1 : at + n) ? LORT_OK
                                                             : refuse(err, whole, FILE_RULE);
}

/* This machine: localhost, 127.x.y.z, [::1]. host: n bytes, with a port. */
static bool is_loopback(const char *host, size_t n)
{
    const char *end = memchr(host, ':', n);
    const size_t name = host[0] == '[' ? 5 : end ? (size_t)(end - host) : n;
    if (host[0] == '[')
        return n >= 5 && memcmp(host, "[::1]", 5) == 0 && (n == 5 || host[5] == ':');
    if (name == 9 && memcmp(host, "localhost", 9) == 0)
        return true;
    unsigned dots = 0;
    for (size_t i = 0; i < name; i++) {
        dots += host[i] == '.';
        if (host[i] != '.' && (host[i] < '0' || host[i] > '9'))
            return false;
    }
    return dots == 3 && begins(host, "127.");
}

static lort_code parse_url(const char *whole, lort_source_name *out, lort_error *err)
{
    const bool plain = begins(whole, "http://");
    const char *host = whole + (plain ? 7 : 8), *slash = host + strcspn(host, "/?#");
    for (const char *at = whole; *at; at++)
        if ((unsigned char)*at <= ' ' || *at == '\\' || *at == 0x7F)
            return refuse(err, whole, "an address has no blank, no '\\' and no control character");
    if (strlen(whole) > LORT_ADDRESS_MAX)
        return refuse(err, whole, "the address is too long (at most 8192 bytes are allowed)");
    if (slash == host || *slash != '/' || !slash[1])
        return refuse(err, whole, "must be an address of one file, https://HOST/PATH");
    if (memchr(host, '@', (size_t)(slash - host)))
        return refuse(err, "(address)", "a name or a password in an address is not allowed");
    if (plain && !is_loopback(host, (size_t)(slash - host)))
        return refuse(err, whole, "http:// is allowed for this machine only; use https://");
    out->form = LORT_FORM_URL;
    return LORT_OK;
}

/* A repository of such a name would more probably be a file: one that is not there, or one of an
 * ordinary server. hf:// names such a repository. */
static bool looks_like_file(const char *text)
{
    static const char *const endings[] = {".gguf", ".safetensors", ".json", ".lort", ".bin"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (lort_text_ends(text, endings[i]))
            return true;
    return false;
}

/* The server of HF_ENDPOINT may have other files too. An address that is no page of a model there
 * is one of an ordinary server. */
static lort_code parse_mirror(const char *text, const char *page, lort_source_name *out,
                              lort_error *err)
{
    const lort_source_name before = *out;
    if (parse_page(text, page, out, NULL) == LORT_OK &&
        (out->revision_given || !looks_like_file(out->repository)))
        return LORT_OK;
    *out = before;
    return parse_url(text, out, err);
}

/* Returns what follows "HUB/" in text, or NULL. */
static const char *behind(const char *text, const char *hub)
{
    const size_t n = strlen(hub);
    return begins(text, hub) && text[n] == '/' ? text + n + 1 : NULL;
}

static lort_code parse_address(const char *text, const char *endpoint, lort_source_name *out,
                               lort_error *err)
{
    static const char *const names[] = {HUB, "https://www.huggingface.co", "https://hf.co"};
    out->form = LORT_FORM_HUB;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *page = behind(text, names[i]);
        if (!page)
            continue;
        snprintf(out->endpoint, sizeof out->endpoint, "%s", HUB);
        return parse_page(text, page, out, err);
    }
    const char *page = behind(text, endpoint);
    return page ? parse_mirror(text, page, out, err) : parse_url(text, out, err);
}

/* ---- Ollama ---- */

static bool set_part(char out[LORT_OLLAMA_PART_MAX + 1], const char *from, size_t n, bool host)
{
    if (n == 0 || n > LORT_OLLAMA_PART_MAX || !(is_alnum(from[0]) || from[0] == '_'))
        return false;
    for (size_t i = 0; i < n; i++)
        if ((!is_alnum(from[i]) && !strchr(host ? "_.-:" : "_.-", from[i])) ||
            (i && from[i] == '.' && from[i - 1] == '.'))
            return false;
    return copy(out, LORT_OLLAMA_PART_MAX + 1, from, n);
}

/* text: behind "ollama:". */
static lort_code parse_ollama(const char *whole, const char *text, lort_source_name *out,
                              lort_error *err)
{
    static const char rule[] = "must be ollama:[HOST/][NAMESPACE/]MODEL[:TAG], each part 1 to 80 "
                               "letters, digits, '_', '-' and '.'";
    const char *parts[3] = {text};
    size_t sizes[3] = {0}, count = 0;
    for (const char *at = text;; at += sizes[count] + 1, count++) {
        if (count == 3)
            return refuse(err, whole, rule);
        parts[count] = at;
        sizes[count] = strcspn(at, "/");
        if (!at[sizes[count]])
            break;
    }
    const char *model = parts[count], *colon = strchr(model, ':');
    const size_t n = colon ? (size_t)(colon - model) : strlen(model);
    const char *tag = colon ? colon + 1 : "latest";
    const bool fits =
        set_part(out->model, model, n, false) && set_part(out->tag, tag, strlen(tag), false) &&
        (count < 1 ? copy(out->space, sizeof out->space, "library", 7)
                   : set_part(out->space, parts[count - 1], sizes[count - 1], false)) &&
        (count < 2 ? copy(out->host, sizeof out->host, "registry.ollama.ai", 18)
                   : set_part(out->host, parts[0], sizes[0], true));
    return fits ? LORT_OK : refuse(err, whole, rule);
}

/* ---- bare names ---- */

static bool parse_bare(const char *text, lort_source_name *out)
{
    const char *at = read_repository(text, "/@", false, out);
    if (!at || looks_like_file(text))
        return false;
    if (*at == '@') {
        const size_t n = revision_bytes(at + 1);
        if (!set_revision(out, at + 1, n))
            return false;
        at += 1 + n;
    }
    return *at == '\0';
}

lort_code lort_source_name_parse(const char *text, const char *endpoint, lort_source_name *out,
                                 lort_error *err)
{
    static const lort_source_name none = {.form = LORT_FORM_PATH, .revision = "main"};
    *out = none;
    snprintf(out->endpoint, sizeof out->endpoint, "%s", endpoint);
    if (begins(text, "hf://")) {
        out->form = LORT_FORM_HUB;
        return parse_hf(text, text + strlen("hf://"), out, err);
    }
    if (begins(text, "https://") || begins(text, "http://"))
        return parse_address(text, endpoint, out, err);
    if (begins(text, "ollama:")) {
        out->form = LORT_FORM_OLLAMA;
        return parse_ollama(text, text + strlen("ollama:"), out, err);
    }
    if (strstr(text, "://"))
        return refuse(err, text,
                      "is an address of a kind that LoRT does not read (allowed: hf://, "
                      "https://, ollama:NAME)");
    if (parse_bare(text, out)) {
        out->form = LORT_FORM_BARE;
        return LORT_OK;
    }
    *out = none;
    return LORT_OK;
}
