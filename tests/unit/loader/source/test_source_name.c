/* Forms of names: the text of a MODEL argument, and what LoRT reads in it. */
#include "tests/unit/main.h"

#include "loader/source/source_parts.h"

#define MIRROR "http://127.0.0.1:8801"
#define HUB "https://huggingface.co"

static const struct {
    const char *text;
    lort_source_form form;
    const char *endpoint, *repository, *revision, *file;
} hubs[] = {
    {"hf://acme/tiny", LORT_FORM_HUB, MIRROR, "acme/tiny", "main", ""},
    {"hf://models/acme/tiny@v1/", LORT_FORM_HUB, MIRROR, "acme/tiny", "v1", ""},
    {"hf://gpt2", LORT_FORM_HUB, MIRROR, "gpt2", "main", ""},
    {"hf://gpt2@main/x.gguf", LORT_FORM_HUB, MIRROR, "gpt2", "main", "x.gguf"},
    {"hf://acme/tiny/a/b.gguf", LORT_FORM_HUB, MIRROR, "acme/tiny", "main", "a/b.gguf"},
    {"hf://acme/tiny@refs/pr/1/b.gguf", LORT_FORM_HUB, MIRROR, "acme/tiny", "refs/pr/1", "b.gguf"},
    {"hf://acme/tiny@refs%2Fpr%2F1/b", LORT_FORM_HUB, MIRROR, "acme/tiny", "refs/pr/1", "b"},
    {HUB "/acme/tiny?x=1#y", LORT_FORM_HUB, HUB, "acme/tiny", "main", ""},
    {HUB "/gpt2/tree/main", LORT_FORM_HUB, HUB, "gpt2", "main", ""},
    {HUB "/acme/tiny/blob/v1/a%20b.gguf", LORT_FORM_HUB, HUB, "acme/tiny", "v1", "a b.gguf"},
    {"https://hf.co/acme/tiny/resolve/main/x?download=true", LORT_FORM_HUB, HUB, "acme/tiny",
     "main", "x"},
    {MIRROR "/acme/tiny/tree/main/q", LORT_FORM_HUB, MIRROR, "acme/tiny", "main", "q"},
    {"acme/tiny", LORT_FORM_BARE, MIRROR, "acme/tiny", "main", ""},
    {"acme/tiny@refs/pr/1", LORT_FORM_BARE, MIRROR, "acme/tiny", "refs/pr/1", ""}};

static const struct {
    const char *text;
    lort_source_form form;
} others[] = {{"tiny", LORT_FORM_PATH},
              {"./acme/tiny", LORT_FORM_PATH},
              {"acme/tiny.gguf", LORT_FORM_PATH},
              {"acme/tiny/x", LORT_FORM_PATH},
              {"acme/ti--ny", LORT_FORM_PATH},
              {"C:/acme", LORT_FORM_PATH},
              {"https://example.com/x.gguf?a=b", LORT_FORM_URL},
              {MIRROR "/files/x.gguf", LORT_FORM_URL},
              {MIRROR "/files/a/b/x.gguf", LORT_FORM_URL},
              {"http://localhost/x", LORT_FORM_URL},
              {"http://[::1]:80/x", LORT_FORM_URL}};

static const struct {
    const char *text, *host, *space, *model, *tag;
} ollamas[] = {{"ollama:tiny", "registry.ollama.ai", "library", "tiny", "latest"},
               {"ollama:acme/tiny:q4", "registry.ollama.ai", "acme", "tiny", "q4"},
               {"ollama:hf.co/acme/tiny-GGUF:Q4_K_M", "hf.co", "acme", "tiny-GGUF", "Q4_K_M"},
               {"ollama:localhost:5000/a/b", "localhost:5000", "a", "b", "latest"}};

/* With words of the refusal. */
static const struct {
    const char *text, *words;
} refused[] = {{"hf://acme/../x", "must name a model as ORG/NAME"},
               {"hf://acme/tiny.git", "must name a model"},
               {"hf://acme/tiny@-x", "revision"},
               {"hf://acme/tiny/%2e%2e/x", "plain path"},
               {"hf://acme/tiny/a%0", "plain path"},
               {"hf://acme/tiny/a%00", "plain path"},
               {"hf://datasets/acme/tiny", "no repository of a model"},
               {HUB "/acme/tiny/discussions/1", "is a page beside"},
               {"http://example.com/x", "this machine only"},
               {"http://127.0.0.1.example.com/x", "this machine only"},
               {"http://localhost.example.com/x", "this machine only"},
               {"https://u:secret@example.com/x", "not allowed"},
               {"https://example.com/a b", "no blank"},
               {"https://example.com", "must be an address of one file"},
               {"file:///etc/passwd", "does not read"},
               {"ollama:a/../b", "must be ollama:"},
               {"ollama:a:b:c", "must be ollama:"}};

static void repositories(void **state)
{
    lort_source_name name;
    (void)state;
    for (size_t i = 0; i < sizeof hubs / sizeof *hubs; i++) {
        assert_int_equal(lort_source_name_parse(hubs[i].text, MIRROR, &name, NULL), LORT_OK);
        assert_int_equal(name.form, hubs[i].form);
        assert_string_equal(name.endpoint, hubs[i].endpoint);
        assert_string_equal(name.repository, hubs[i].repository);
        assert_string_equal(name.revision, hubs[i].revision);
        assert_string_equal(name.file, hubs[i].file);
    }
}

static void paths_and_addresses(void **state)
{
    lort_source_name name;
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(lort_source_name_parse(others[i].text, MIRROR, &name, NULL), LORT_OK);
        assert_int_equal(name.form, others[i].form);
    }
}

static void names_of_ollama(void **state)
{
    lort_source_name name;
    (void)state;
    for (size_t i = 0; i < sizeof ollamas / sizeof *ollamas; i++) {
        assert_int_equal(lort_source_name_parse(ollamas[i].text, MIRROR, &name, NULL), LORT_OK);
        assert_int_equal(name.form, LORT_FORM_OLLAMA);
        assert_string_equal(name.host, ollamas[i].host);
        assert_string_equal(name.space, ollamas[i].space);
        assert_string_equal(name.model, ollamas[i].model);
        assert_string_equal(name.tag, ollamas[i].tag);
    }
}

static void what_no_form_allows(void **state)
{
    lort_source_name name;
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        lort_error err = {0};
        assert_int_equal(lort_source_name_parse(refused[i].text, MIRROR, &name, &err),
                         LORT_E_USAGE);
        if (!strstr(err.message, refused[i].words))
            fail_msg("%s: %s", refused[i].text, err.message);
        assert_null(strstr(err.message, "secret"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repositories), cmocka_unit_test(paths_and_addresses),
        cmocka_unit_test(names_of_ollama), cmocka_unit_test(what_no_form_allows)};
    return run_chosen(tests, NULL, NULL);
}
