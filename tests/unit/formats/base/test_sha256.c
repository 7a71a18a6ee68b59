/* SHA-256: the examples of FIPS 180-2, lengths at the edges of blocks (values of Python's hashlib),
 * and equal states however the bytes come. */
#include "tests/unit/main.h"

#include "formats/base/sha256.h"
#include <string.h>

#define MILLION 1000000u

static const struct {
    const char *text, *hash;
} examples[] = {{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
                {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
                {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
                {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqk"
                 "lmnopqrlmnopq"
                 "rsmnopqrstnopqrstu",
                 "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"}};

/* Of the first n bytes of fill. */
static const struct {
    unsigned n;
    const char *hash;
} lengths[] = {{0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
               {1, "ca358758f6d27e6cf45272937977a748fd88391db679ceda7dc7bf1f005ee879"},
               {55, "8aa994584139d128848eeebc4e815639ba5ab6e6e39574195a63ac4f14f7c43b"},
               {56, "ad574708f75c044c9b85de64cb568ee7711ff4f36448c6242f053ba8f6cc2b63"},
               {63, "280ed3e8ff1df845b2e7dfe6ac6cee817bef20e783cc65abc41b818b4d2fe076"},
               {64, "c6ab9724ade5b6a7a1edfffb12f3aa9181351355af8fd08c919952ad211339dd"},
               {65, "788367c73c7ddf4c53f65e68cc0d943e6227ab55b0e78ba63ace822b1c6301c0"},
               {119, "3d610547d68216dedf7435a4fb6260353911f6b3fd3f18805ddb8be285d726fe"},
               {120, "1f80156a804cb7862ad113e8200e9d74499723e7c7854d5f48776d3148e09656"},
               {127, "192409cd280e14b743642ad1343fbd3e82d9305de72c078117745a679210cc3d"},
               {128, "cc548ca2dec1f6fe4f58b2e27aa9c7521607df1130d140b55a4dad0665302356"},
               {129, "81e89a7b2911aaa7795f9e3d4910cb47d6cd2b00d83b8399481527261a1a7519"},
               {200, "44cae5223d431caed4a9e32271d6abf17c3f2f4abac45fcdb48a99fcc6072a09"}};

static void fill(uint8_t bytes[200])
{
    for (int i = 0; i < 200; i++)
        bytes[i] = (uint8_t)(i * 31 + 7);
}

static void expect(const lort_sha256 *hash, const char *wanted)
{
    uint8_t value[32];
    char text[65];
    lort_sha256_value(hash, value);
    lort_sha256_text(value, text);
    assert_string_equal(text, wanted);
}

static void examples_of_the_standard(void **state)
{
    lort_sha256 hash;
    (void)state;
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        lort_sha256_start(&hash);
        lort_sha256_add(&hash, examples[i].text, strlen(examples[i].text));
        expect(&hash, examples[i].hash);
    }
    lort_sha256_start(&hash);
    for (unsigned i = 0; i < MILLION; i += 10)
        lort_sha256_add(&hash, "aaaaaaaaaa", 10);
    assert_int_equal(hash.bytes, MILLION);
    expect(&hash, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void lengths_at_the_edges_of_blocks(void **state)
{
    uint8_t bytes[200];
    lort_sha256 hash;
    (void)state;
    fill(bytes);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        lort_sha256_start(&hash);
        lort_sha256_add(&hash, bytes, lengths[i].n);
        expect(&hash, lengths[i].hash);
    }
}

/* The state is plain: a copy of it, with values taken between, goes on to the same end. Equal bytes
 * give equal states, since a journal compares them. */
static void any_split_gives_the_state_of_the_whole(void **state)
{
    uint8_t bytes[200], between[32];
    lort_sha256 whole, first, second;
    (void)state;
    fill(bytes);
    lort_sha256_start(&whole);
    lort_sha256_add(&whole, bytes, 200);
    for (unsigned at = 0; at <= 200; at++) {
        lort_sha256_start(&first);
        lort_sha256_add(&first, bytes, at);
        lort_sha256_value(&first, between);
        memcpy(&second, &first, sizeof second);
        lort_sha256_add(&second, bytes + at, 200 - at);
        assert_memory_equal(&second, &whole, sizeof whole);
        expect(&second, lengths[sizeof lengths / sizeof *lengths - 1].hash);
    }
}

static void what_is_behind_the_rest_is_zero(void **state)
{
    uint8_t bytes[200];
    lort_sha256 hash;
    (void)state;
    fill(bytes);
    lort_sha256_start(&hash);
    lort_sha256_add(&hash, bytes, 127);
    lort_sha256_add(&hash, bytes, 4);
    assert_int_equal(hash.bytes, 131);
    for (int i = 3; i < 64; i++)
        assert_int_equal(hash.rest[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_of_the_standard),
        cmocka_unit_test(lengths_at_the_edges_of_blocks),
        cmocka_unit_test(any_split_gives_the_state_of_the_whole),
        cmocka_unit_test(what_is_behind_the_rest_is_zero),
    };
    return run_chosen(tests, NULL, NULL);
}
