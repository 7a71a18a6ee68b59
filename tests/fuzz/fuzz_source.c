/* Fuzz target: names of models and the JSON of caches. The first byte chooses: the text of a MODEL
 * argument, trees/COMMIT.json, or a manifest of Ollama. What is accepted keeps its rules: no path
 * leaves its directory. */
#include "formats/base/plain_path.h"
#include "fuzz_header.h"
#include "loader/source/source_parts.h"

static void check_part(const char *part)
{
    CHECK(*part && strlen(part) <= LORT_OLLAMA_PART_MAX && part[0] != '.' && part[0] != '-');
    CHECK(!strchr(part, '/') && !strchr(part, '\\') && !strstr(part, ".."));
}

static void check_repository(const lort_source_name *name)
{
    const char *repository = name->repository, *slash = strchr(repository, '/');
    CHECK(*repository && !strstr(repository, "..") && !strstr(repository, "--"));
    CHECK(!slash || (slash > repository && slash[1] && !strchr(slash + 1, '/')));
    CHECK(lort_plain_path(name->revision, strlen(name->revision), NULL) == LORT_OK);
    CHECK(!*name->file || lort_plain_path(name->file, strlen(name->file), NULL) == LORT_OK);
    CHECK(*name->endpoint);
}

static void check_name(const uint8_t *data, size_t size)
{
    lort_source_name name;
    lort_error err = {0};
    char *text = malloc(size + 1);
    CHECK(text);
    memcpy(text, data, size);
    text[size] = '\0';
    const lort_code code = lort_source_name_parse(text, "http://127.0.0.1:8801", &name, &err);
    if (code) {
        CHECK(code == LORT_E_USAGE && *err.message);
    } else if (name.form == LORT_FORM_HUB || name.form == LORT_FORM_BARE) {
        check_repository(&name);
    } else if (name.form == LORT_FORM_OLLAMA) {
        check_part(name.host);
        check_part(name.space);
        check_part(name.model);
        check_part(name.tag);
    } else if (name.form == LORT_FORM_URL) {
        CHECK(strncmp(text, "https://", 8) == 0 || strncmp(text, "http://", 7) == 0);
    }
    free(text);
}

static void check_tree(const uint8_t *data, size_t size)
{
    allocations l = {0};
    lort_alloc alloc = {ledger_take, ledger_give, &l};
    lort_error err = {0};
    lort_source_tree tree;
    const lort_code code = lort_source_tree_parse(data, size, &alloc, &tree, &err);
    CHECK(l.peak <= (1u << 20) + 64 * (uint64_t)size);
    if (code) {
        check_failed(code, &err, &l);
        return;
    }
    for (uint32_t i = 0; i < tree.count; i++)
        CHECK(lort_plain_path(tree.files[i].path, strlen(tree.files[i].path), NULL) == LORT_OK);
    lort_source_tree_free(&tree);
    CHECK(l.blocks == 0 && l.out == 0);
}

static void check_manifest(const uint8_t *data, size_t size)
{
    lort_error err = {0};
    lort_manifest manifest;
    const lort_code code = lort_manifest_parse(data, size, &manifest, &err);
    CHECK(code == LORT_OK || (code == LORT_E_INPUT && *err.message && !*manifest.digest));
    CHECK(code ||
          (strlen(manifest.digest) == 64 && strspn(manifest.digest, "0123456789abcdef") == 64));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const checks[])(const uint8_t *, size_t) = {check_name, check_tree,
                                                              check_manifest};
    if (size > 0)
        checks[data[0] % 3](data + 1, size - 1);
    return 0;
}
