/* corpus_fuzz.c - any bytes as a text in three splits.
 *
 * The first three bytes choose the tokens and the shares of the splits. Every byte is in one
 * split, every number within the vocabulary, and the tokens put together are the text (of words:
 * without its white space). What is printed for people is UTF-8 without control characters. */
#include "kernels/test/fuzz.h"
#include "tasks/corpus.h"

#include <stdlib.h>

static bool is_unknown(token_span s) { return s.n == 5 && !memcmp(s.text, "<unk>", 5); }

/* Compares the tokens with the text from `at` on; where it ends up. */
static long follow(const corpus *c, split which, const char *text, long at, long n) {
    for (long i = 0; i < c->tokens[which]; i++) {
        char byte;
        const int id = corpus_token(c, which, i);
        CHECK(id >= 0 && id < c->vocab);
        const token_span s = corpus_text(c, id, &byte);
        if (c->rule == TOKEN_WORD) continue;
        long used = s.n;
        if (is_unknown(s)) { /* by its length: of one character, whatever it was */
            utf8_read(&used, text + at, n - at);
        } else {
            CHECK(s.n <= n - at && !memcmp(s.text, text + at, (size_t)s.n));
        }
        at += used;
    }
    return at;
}

static void check_printed(const char *text, long n) {
    static char *out;
    static size_t out_n;
    FILE *file = open_memstream(&out, &out_n);
    CHECK(file != NULL);
    text_print(file, text, n, 2);
    fclose(file);
    long used;
    for (long i = 0; i < (long)out_n; i += used) {
        const int code = utf8_read(&used, out + i, (long)out_n - i);
        CHECK(code < NOT_UTF8 && (code >= 0x20 || code == '\n') && (code < 0x7f || code >= 0xa0));
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3 || size > FUZZ_MAX_BYTES) return 0;
    const char *text = (const char *)data + 3;
    const long n = (long)size - 3;
    const corpus_spec spec = {.path = fuzz_file(text, (size_t)n),
                              .rule = (token_rule)(data[0] % 3),
                              .valid_share = data[1] / 256.0,
                              .test_share = data[2] / 256.0};
    arena *a = arena_new();
    error e = {0};
    const corpus *c = corpus_read(a, &spec, &e);
    if (!c) {
        fuzz_check_error(&e);
    } else {
        long bytes = 0, at = 0, words = 0;
        for (int i = 0; i < N_SPLIT; i++) {
            bytes += c->bytes[i];
            words += c->words[i];
            at = follow(c, (split)i, text, at, n);
        }
        CHECK(bytes == n && words >= word_count(text, n)); /* a cut may make two of a word */
        CHECK(c->rule == TOKEN_WORD ? words == word_count(text, n) : at == n);
        check_printed(text, n < 512 ? n : 512);
    }
    arena_free(a);
    return 0;
}
