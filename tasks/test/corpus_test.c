/* corpus_test.c - tokens, vocabularies and splits of a text. */
#include "tasks/test/corpus_fixture.h"

static corpus_spec spec_of(const char *path, token_rule rule) {
    return (corpus_spec){path, rule, .05, .05};
}

static const corpus *open_or_fail(const char *path, token_rule rule) {
    error e = {0};
    corpus_spec spec = spec_of(path, rule);
    const corpus *c = corpus_open(&spec, &e);
    if (!c) fail_msg("%s: %s", path, e.text);
    return c;
}

/* "a|b|<eos>" for the tokens of a split. */
static const char *tokens_text(arena *a, const corpus *c, split which) {
    const char *text = "";
    char byte;
    for (long i = 0; i < c->tokens[which]; i++) {
        const token_span t = corpus_text(c, corpus_token(c, which, i), &byte);
        text = arena_printf(a, "%s%s%.*s", text, i ? "|" : "", (int)t.n, t.text);
    }
    return text;
}

/* ---- cutting ---- */

static void test_utf8(void **unused) {
    (void)unused;
    static const struct {
        const char *text;
        int code;
        long used;
    } row[] = {
        {"A", 'A', 1},
        {"\x7F", 0x7F, 1},
        {"\xC2\x80", 0x80, 2},
        {"\xDF\xBF", 0x7FF, 2},
        {"\xE0\xA0\x80", 0x800, 3},
        {"\xED\x9F\xBF", 0xD7FF, 3},
        {"\xEE\x80\x80", 0xE000, 3},
        {"\xEF\xBF\xBF", 0xFFFF, 3},
        {"\xF0\x90\x80\x80", 0x10000, 4},
        {"\xF4\x8F\xBF\xBF", 0x10FFFF, 4},
        {"\x80", NOT_UTF8 + 0x80, 1},             /* continuation alone */
        {"\xC0\x80", NOT_UTF8 + 0xC0, 1},         /* overlong */
        {"\xC1\xBF", NOT_UTF8 + 0xC1, 1},         /* overlong */
        {"\xE0\x9F\xBF", NOT_UTF8 + 0xE0, 1},     /* overlong */
        {"\xF0\x8F\xBF\xBF", NOT_UTF8 + 0xF0, 1}, /* overlong */
        {"\xED\xA0\x80", NOT_UTF8 + 0xED, 1},     /* surrogate */
        {"\xF4\x90\x80\x80", NOT_UTF8 + 0xF4, 1}, /* beyond the last */
        {"\xF5\x80\x80\x80", NOT_UTF8 + 0xF5, 1},
        {"\xFF", NOT_UTF8 + 0xFF, 1},
        {"\xC3", NOT_UTF8 + 0xC3, 1}, /* cut off */
        {"\xE6\x97", NOT_UTF8 + 0xE6, 1},
        {"\xF0\x9F\x98", NOT_UTF8 + 0xF0, 1},
        {"\xC3"
         "A",
         NOT_UTF8 + 0xC3, 1},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        long used;
        const int code = utf8_read(&used, row[i].text, (long)strlen(row[i].text));
        if (code != row[i].code || used != row[i].used)
            fail_msg("row %d: code %x of %ld bytes", (int)i, (unsigned)code, used);
    }
}

static const char *cut_text(arena *a, const char *text, long n, token_rule rule) {
    token_cursor c = {text, 0, n, false};
    const char *result = "";
    for (token_span t; token_next(&t, &c, rule, n);)
        result = arena_printf(a, "%s[%.*s]", result, (int)t.n, t.text);
    return result;
}

static void test_tokens(void **unused) {
    (void)unused;
    static const struct {
        token_rule rule;
        const char *text, *tokens;
    } row[] = {
        {TOKEN_WORD, "", ""},
        {TOKEN_WORD, "\n", "[<eos>]"},
        {TOKEN_WORD, " \n\n = T = \n", "[<eos>][<eos>][=][T][=][<eos>]"},
        {TOKEN_WORD, "a b", "[a][b][<eos>]"},
        {TOKEN_WORD, "a b ", "[a][b][<eos>]"},
        {TOKEN_WORD, "a\n ", "[a][<eos>][<eos>]"},
        {TOKEN_WORD, "a\r\nb\t\v\fc\r\n", "[a][<eos>][b][c][<eos>]"},
        {TOKEN_WORD, "na\xC3\xAFve\xC2\xA0x <unk>\n", "[na\xC3\xAFve\xC2\xA0x][<unk>][<eos>]"},
        {TOKEN_CHAR, "a\n\xC3\xA9\xC3(\xE6\x97\xA5\x97",
         "[a][\n][\xC3\xA9][\xC3][(][\xE6\x97\xA5][\x97]"},
        {TOKEN_BYTE, "a\xC3\xA9", "[a][\xC3][\xA9]"},
    };
    arena *a = arena_new();
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        assert_string_equal(cut_text(a, row[i].text, (long)strlen(row[i].text), row[i].rule),
                            row[i].tokens);
    assert_int_equal(word_count(" a bc\n\nd", 8), 3);
    assert_int_equal(word_count("", 0), 0);
    arena_free(a);
}

/* Two cuts anywhere: the three parts give the tokens of the whole, and cover all of its bytes. */
static void test_cuts_part_no_token(void **unused) {
    (void)unused;
    arena *a = arena_new();
    const char text[] = "caf\xC3\xA9 \xE6\x97\xA5\xE6\x9C\xAC\n\n \xC3 x\n last";
    const long n = (long)sizeof text - 1;
    for (int rule = TOKEN_BYTE; rule <= TOKEN_WORD; rule++) {
        const char *whole = cut_text(a, text, n, (token_rule)rule);
        for (long first = 0; first <= n; first++)
            for (long second = first; second <= n; second++) {
                const long cut[] = {first, second, n};
                token_cursor c = {text, 0, n, false};
                const char *parts = "";
                for (int i = 0; i < 3; i++)
                    for (token_span t; token_next(&t, &c, (token_rule)rule, cut[i]);)
                        parts = arena_printf(a, "%s[%.*s]", parts, (int)t.n, t.text);
                assert_string_equal(parts, whole);
                assert_int_equal(c.at, n);
            }
    }
    arena_free(a);
}

static void test_print(void **unused) {
    (void)unused;
    const char text[] = "a\"b\\\n\t\r\x01\x7F\xC3\xA9\xC2\x9B\xFF\0z";
    char *shown = NULL;
    size_t n = 0;
    FILE *file = open_memstream(&shown, &n);
    text_print(file, text, (long)sizeof text - 1, 2);
    fclose(file);
    assert_string_equal(shown, "a\\\"b\\\\\\n\\t\\r\\x01\\x7F\xC3\xA9\\xC2\\x9B\\xFF\\x00z");
    free(shown);
    char many[300];
    memset(many, 'x', sizeof many);
    file = open_memstream(&shown, &n);
    text_print(file, many, sizeof many, 2);
    fclose(file);
    assert_int_equal(n, 300 + 3 * 3); /* three more lines, indented by two */
    free(shown);
}

/* ---- vocabularies ---- */

static void test_vocab_grows(void **unused) {
    (void)unused;
    enum { SYMBOLS = 20000 };
    arena *a = arena_new();
    token_vocab *v = vocab_new(a);
    char text[16];
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < SYMBOLS; i++) {
            const int n = snprintf(text, sizeof text, "w%d", i * 7919 % SYMBOLS);
            assert_int_equal(vocab_add(v, (token_span){text, n}), i);
            assert_int_equal(vocab_find(v, (token_span){text, n}), i);
            const token_span back = vocab_text(v, i);
            assert_int_equal(back.n, n);
            assert_memory_equal(back.text, text, (size_t)n);
        }
    assert_int_equal(v->n, SYMBOLS);
    assert_int_equal(vocab_find(v, (token_span){"w", 1}), -1);
    assert_int_equal(vocab_find(v, (token_span){"", 0}), -1);
    arena_free(a);
}

static void test_word_vocabulary(void **unused) {
    (void)unused;
    arena *a = arena_new();
    const corpus *c = open_or_fail(made_splits("known", "b a b\n", "a\n", "b\n"), TOKEN_WORD);
    assert_int_equal(c->vocab, 3); /* nothing unknown: no <unk> */
    assert_string_equal(tokens_text(a, c, SPLIT_TRAIN), "b|a|b|<eos>");
    assert_int_equal(corpus_token(c, SPLIT_TRAIN, 0), 0);
    assert_int_equal(corpus_token(c, SPLIT_TRAIN, 1), 1);
    assert_int_equal(corpus_token(c, SPLIT_TRAIN, 3), 2);
    c = open_or_fail(made_splits("unknown", "b a b\n", "a\n", "new b"), TOKEN_WORD);
    assert_int_equal(c->vocab, 4);
    assert_string_equal(tokens_text(a, c, SPLIT_TEST), "<unk>|b|<eos>");
    assert_int_equal(corpus_token(c, SPLIT_TEST, 0), 3);
    c = open_or_fail(made_splits("marked", "b <unk> b\n", "new\n", "b\n"), TOKEN_WORD);
    assert_int_equal(c->vocab, 3);
    assert_string_equal(tokens_text(a, c, SPLIT_VAL), "<unk>|<eos>");
    assert_int_equal(corpus_token(c, SPLIT_VAL, 0), 1);
    assert_int_equal(c->words[SPLIT_TRAIN], 3);
    assert_int_equal(c->bytes[SPLIT_TRAIN], 10);
    arena_free(a);
}

static void test_char_vocabulary(void **unused) {
    (void)unused;
    arena *a = arena_new();
    const corpus *c = open_or_fail(made_splits("chars",
                                               "z\xF0\x9F\x98\x80\xEF\xBF\xBF"
                                               "a\xFF\xC3\xA9\x80",
                                               "a", "\xC3\xA9z"),
                                   TOKEN_CHAR);
    const char *const sorted[] = {"a",    "z",   "\xC3\xA9", "\xEF\xBF\xBF", "\xF0\x9F\x98\x80",
                                  "\x80", "\xFF"};
    char byte;
    assert_int_equal(c->vocab, 7);
    for (int i = 0; i < 7; i++) {
        const token_span t = corpus_text(c, i, &byte);
        assert_int_equal(t.n, strlen(sorted[i]));
        assert_memory_equal(t.text, sorted[i], strlen(sorted[i]));
    }
    c = open_or_fail(made_splits("newchar", "abc", "abd", "c\x80"), TOKEN_CHAR);
    assert_int_equal(c->vocab, 4);
    assert_string_equal(tokens_text(a, c, SPLIT_VAL), "a|b|<unk>");
    assert_int_equal(corpus_token(c, SPLIT_TEST, 1), 3);
    arena_free(a);
}

static void test_byte_vocabulary(void **unused) {
    (void)unused;
    const char *path = made_text("bytes.txt",
                                 "\0\xFF"
                                 "abcdefghijklmnopqr",
                                 20);
    const corpus *c = open_or_fail(path, TOKEN_BYTE);
    assert_int_equal(c->vocab, 256);
    assert_int_equal(c->tokens[SPLIT_TRAIN], 18);
    assert_int_equal(corpus_token(c, SPLIT_TRAIN, 0), 0);
    assert_int_equal(corpus_token(c, SPLIT_TRAIN, 1), 255);
    assert_int_equal(corpus_token(c, SPLIT_VAL, 0), 'q');
    assert_int_equal(corpus_token(c, SPLIT_TEST, 0), 'r');
    char byte;
    assert_int_equal(*corpus_text(c, 255, &byte).text, (char)255);
}

/* More symbols than 16 bits hold. */
static void test_wide(void **unused) {
    (void)unused;
    enum { TYPES = 70000 };
    arena *a = arena_new();
    char *text = ARENA_NEW(a, char, 8 * TYPES);
    size_t n = 0;
    for (int i = 0; i < TYPES; i++) n += (size_t)snprintf(text + n, 8, "%x ", (unsigned)i);
    corpus_spec spec = {made_text("wide.txt", text, n), TOKEN_WORD, .001, .001};
    error e = {0};
    const corpus *c = corpus_open(&spec, &e);
    assert_non_null(c);
    assert_null(c->narrow[SPLIT_TRAIN]);
    assert_true(c->vocab > 1 << 16);
    for (int i = 0; i < c->tokens[SPLIT_TRAIN]; i++)
        assert_int_equal(corpus_token(c, SPLIT_TRAIN, i), i);
    assert_int_equal(corpus_token(c, SPLIT_TEST, 0), c->vocab - 1); /* <unk> */
    arena_free(a);
}

/* ---- splits and files ---- */

/* The parts of one file cover it, and lie where the shares say, whatever the tokens are. */
static void test_shares(void **unused) {
    (void)unused;
    arena *a = arena_new();
    const char *text = made_prose(a, 400);
    const long n = (long)strlen(text), held = lround(.05 * (double)n);
    const char *path = made_text("prose.txt", text, (size_t)n);
    for (int rule = TOKEN_BYTE; rule <= TOKEN_WORD; rule++) {
        const corpus *c = open_or_fail(path, (token_rule)rule);
        const long slack = rule == TOKEN_BYTE ? 0 : 8; /* the longest token */
        assert_int_equal(c->bytes[0] + c->bytes[1] + c->bytes[2], n);
        assert_in_range(c->bytes[SPLIT_TRAIN], n - 2 * held, n - 2 * held + slack);
        assert_in_range(c->bytes[SPLIT_TEST], held - slack, held);
        arena *scratch = arena_new();
        long symbols = 0, length = 0;
        char byte;
        for (int k = 0; k < N_SPLIT; k++) {
            for (long i = 0; i < c->tokens[k]; i++)
                length += corpus_text(c, corpus_token(c, (split)k, i), &byte).n;
            symbols += c->tokens[k];
        }
        if (rule != TOKEN_WORD) assert_int_equal(length, n); /* the text comes back */
        token_cursor whole = {text, 0, n, false};
        for (token_span t; token_next(&t, &whole, (token_rule)rule, n);) symbols--;
        assert_int_equal(symbols, 0);
        arena_free(scratch);
    }
    arena_free(a);
}

/* Shares whose sum is just below one, and whose parts are both rounded up. */
static void test_shares_of_almost_all(void **unused) {
    (void)unused;
    arena *a = arena_new();
    error e = {0};
    const corpus_spec spec = {.path = made_text("five.txt", "abcde", 5),
                              .rule = TOKEN_BYTE,
                              .valid_share = 0.8999999999999999,
                              .test_share = 0.1};
    const corpus *c = corpus_read(a, &spec, &e);
    if (!c) fail_msg("%s", e.text);
    assert_int_equal(c->bytes[SPLIT_TRAIN], 0);
    assert_int_equal(c->bytes[SPLIT_VAL], 4);
    assert_int_equal(c->bytes[SPLIT_TEST], 1);
    arena_free(a);
}

/* A word that reaches over all cuts is training; the last line still ends in the test split. */
static void test_one_word(void **unused) {
    (void)unused;
    arena *a = arena_new();
    const corpus *c = open_or_fail(made_text("word.txt", "abcdefghijklmnopqrst", 20), TOKEN_WORD);
    assert_string_equal(tokens_text(a, c, SPLIT_TRAIN), "abcdefghijklmnopqrst");
    assert_string_equal(tokens_text(a, c, SPLIT_VAL), "");
    assert_string_equal(tokens_text(a, c, SPLIT_TEST), "<unk>");
    assert_int_equal(c->bytes[SPLIT_TRAIN], 20);
    assert_int_equal(c->bytes[SPLIT_TEST], 0);
    arena_free(a);
}

static void test_shared_until_edited(void **unused) {
    (void)unused;
    const char *path = made_text("edited.txt", "abcdefghijklmnopqrst", 20);
    const corpus *c = open_or_fail(path, TOKEN_CHAR);
    assert_ptr_equal(open_or_fail(path, TOKEN_CHAR), c);
    assert_ptr_not_equal(open_or_fail(path, TOKEN_BYTE), c);
    corpus_spec other = {path, TOKEN_CHAR, .1, .05};
    error e = {0};
    assert_ptr_not_equal(corpus_open(&other, &e), c);
    made_text("edited.txt", "abcdefghijklmnopqrsu", 20);
    assert_ptr_not_equal(open_or_fail(path, TOKEN_CHAR), c);
    assert_ptr_equal(open_or_fail(made_text("copy.txt", "abcdefghijklmnopqrst", 20), TOKEN_CHAR),
                     c);
}

/* Which text a run was trained on is told by this number. */
static void test_every_bit_is_in_the_print(void **unused) {
    (void)unused;
    static const char whole[] = "a few words\nin lines of\nthree or four words\nand no end";
    const long n = sizeof whole - 1;
    arena *a = arena_new();
    error e = {0};
    corpus_spec spec = {made_text("print.txt", whole, (size_t)n), TOKEN_WORD, .2, .2};
    const uint64_t print = corpus_read(a, &spec, &e)->print;
    assert_true(corpus_open(&spec, &e)->print == print);
    for (long bit = 0; bit < 8 * n; bit++) {
        char text[sizeof whole];
        memcpy(text, whole, sizeof whole);
        text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
        made_text("print.txt", text, (size_t)n);
        assert_true(corpus_read(a, &spec, &e)->print != print);
    }
    for (long cut = 1; cut < n; cut++) {
        made_text("print.txt", whole, (size_t)cut);
        assert_true(corpus_read(a, &spec, &e)->print != print);
    }
    made_text("print.txt", whole, (size_t)n);
    spec.path = made_text("elsewhere/print.txt", whole, (size_t)n);
    assert_true(corpus_read(a, &spec, &e)->print == print);
    spec.valid_share = .1;
    assert_true(corpus_read(a, &spec, &e)->print != print);
    arena_free(a);
}

static void test_data_folder(void **unused) {
    (void)unused;
    made_text("far.txt", "some text to be found", 21);
    setenv("MIXGRID_DATA", made_folder, 1);
    const corpus *c = open_or_fail("far.txt", TOKEN_BYTE);
    unsetenv("MIXGRID_DATA");
    assert_int_equal(c->tokens[0] + c->tokens[1] + c->tokens[2], 21);
}

static void expect_failure(corpus_spec spec, const char *first, const char *second) {
    error e = {0};
    assert_null(corpus_open(&spec, &e));
    assert_int_equal(e.code, STATUS_USAGE);
    assert_int_equal(strncmp(e.text, "task.", 5), 0); /* the setting, for its place in the file */
    if (!strstr(e.text, first) || !strstr(e.text, second))
        fail_msg("no '%s' and '%s' in: %s", first, second, e.text);
}

static void test_errors(void **unused) {
    (void)unused;
    expect_failure(spec_of("no/such.txt", TOKEN_BYTE), "no/such.txt", "MIXGRID_DATA");
    setenv("MIXGRID_DATA", "/nowhere", 1);
    expect_failure(spec_of("no/such.txt", TOKEN_BYTE), "/nowhere/no/such.txt", "set task.corpus");
    unsetenv("MIXGRID_DATA");
    expect_failure(spec_of("", TOKEN_BYTE), "task.corpus is ,", "set task.corpus");
    expect_failure(spec_of(made_text("empty.txt", "", 0), TOKEN_BYTE), "empty.txt", "is empty");
    made_text("half/train.txt", "a b c", 5);
    char path[256];
    snprintf(path, sizeof path, "%s/half", made_folder);
    expect_failure(spec_of(path, TOKEN_BYTE), path, "lacks valid.txt");
    expect_failure(spec_of("/dev/null", TOKEN_BYTE), "/dev/null", "not a regular file");
    expect_failure((corpus_spec){made_text("short.txt", "abc", 3), TOKEN_BYTE, .5, .5},
                   "task.valid_share 0.5", "below 1");
    const char *locked = made_text("locked.txt", "abc", 3);
    chmod(locked, 0);
    if (geteuid()) expect_failure(spec_of(locked, TOKEN_BYTE), locked, "ermission");
}

/* ---- published figures ---- */

static void test_published(void **unused) {
    (void)unused;
    if (access(DATA "wikitext2/train.txt", R_OK)) {
        print_message("skipped: no " DATA "\n");
        return;
    }
    const corpus *c = open_or_fail(DATA "wikitext2", TOKEN_WORD);
    assert_int_equal(c->tokens[SPLIT_TRAIN], 2088628);
    assert_int_equal(c->tokens[SPLIT_VAL], 217646);
    assert_int_equal(c->tokens[SPLIT_TEST], 245569);
    assert_int_equal(c->vocab, 33278);
    c = open_or_fail(DATA "tinyshakespeare/input.txt", TOKEN_CHAR);
    assert_int_equal(c->bytes[0] + c->bytes[1] + c->bytes[2], 1115394);
    assert_int_equal(c->tokens[0] + c->tokens[1] + c->tokens[2], 1115394);
    assert_int_equal(c->vocab, 65);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_cuts_part_no_token),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_vocab_grows),
        cmocka_unit_test(test_word_vocabulary),
        cmocka_unit_test(test_char_vocabulary),
        cmocka_unit_test(test_byte_vocabulary),
        cmocka_unit_test(test_wide),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_shares_of_almost_all),
        cmocka_unit_test(test_one_word),
        cmocka_unit_test(test_shared_until_edited),
        cmocka_unit_test(test_every_bit_is_in_the_print),
        cmocka_unit_test(test_data_folder),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_published),
    };
    unsetenv("MIXGRID_DATA");
    return cmocka_run_group_tests(tests, made_begin, made_end);
}
