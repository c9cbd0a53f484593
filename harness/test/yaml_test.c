/* yaml_test.c - scalars of YAML 1.2, places of every error, and files meant to do harm. */
#include "harness/yaml.h"

#include "toy_schema.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "diag_fixture.h"

static const yaml *read_bytes(const char *text, long n) {
    found = diag_new(memory);
    return yaml_read_text(memory, text, n, "t.yaml", found);
}

static const yaml *read_good(const char *text) {
    const yaml *y = read_bytes(text, (long)strlen(text));
    assert_string_equal(toy_messages(memory, found), "");
    assert_non_null(y);
    return y;
}

/* The text gives exactly these messages. */
static void refuses(const char *text, const char *messages) {
    read_bytes(text, (long)strlen(text));
    assert_string_equal(toy_messages(memory, found), messages);
}

/* ... or, where libyaml words the rest, messages that start so. */
static void refuses_about(const char *text, long n, const char *beginning) {
    read_bytes(text, n);
    const char *messages = toy_messages(memory, found);
    if (strncmp(messages, beginning, strlen(beginning)))
        fail_msg("\n%s\nis not\n%s", messages, beginning);
}

static void scalars(void **state) {
    (void)state;
    static const struct {
        const char *text;
        yaml_kind kind;
        double real;
    } cases[] = {
        {"1e-3", YAML_REAL, 1e-3},
        {"0.001", YAML_REAL, 1e-3},
        {".5", YAML_REAL, 0.5},
        {"1.", YAML_REAL, 1},
        {"+12e03", YAML_REAL, 12000},
        {"-1.5E+2", YAML_REAL, -150},
        {"12", YAML_INT, 12},
        {"-12", YAML_INT, -12},
        {"+7", YAML_INT, 7},
        {"0", YAML_INT, 0},
        {"0o17", YAML_INT, 15},
        {"0x1F", YAML_INT, 31},
        {".inf", YAML_REAL, INFINITY},
        {"-.Inf", YAML_REAL, -INFINITY},
        {"9223372036854775807", YAML_INT, 9223372036854775807.0},
        {"9223372036854775808", YAML_REAL, 9223372036854775808.0},
        {"true", YAML_BOOL, 0},
        {"False", YAML_BOOL, 0},
        {"null", YAML_NULL, 0},
        {"~", YAML_NULL, 0},
        {"1e", YAML_TEXT, 0},
        {"e3", YAML_TEXT, 0},
        {".", YAML_TEXT, 0},
        {"0o18", YAML_TEXT, 0},
        {"0x", YAML_TEXT, 0},
        {"inf", YAML_TEXT, 0},
        {"nan", YAML_TEXT, 0},
        {"12:30", YAML_TEXT, 0},
        {"1e3e", YAML_TEXT, 0},
        {"'1'", YAML_TEXT, 0},
        {"\"true\"", YAML_TEXT, 0},
        {"!!str 12", YAML_TEXT, 0},
        {"tRue", YAML_TEXT, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const yaml *y = read_good(arena_printf(memory, "a: %s", cases[i].text))->item[0];
        if (y->kind != cases[i].kind) fail_msg("%s is %d", cases[i].text, (int)y->kind);
        if (y->kind == YAML_INT || y->kind == YAML_REAL) assert_true(y->real == cases[i].real);
        assert_null(y->doubt);
    }
    assert_true(isnan(read_good("a: .nan")->item[0]->real));
    assert_true(read_good("a: TRUE")->item[0]->boolean);
}

static void doubtful_text(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"yes", "yes is text in YAML 1.2; write true, or quote it"},
        {"Off", "Off is text in YAML 1.2; write false, or quote it"},
        {"on", "on is text in YAML 1.2; write true, or quote it"},
        {"NO", "NO is text in YAML 1.2; write false, or quote it"},
        {"007", "007 is text because of its leading zero; write it without, or quote it"},
        {"-01.5", "-01.5 is text because of its leading zero; write it without, or quote it"},
        {"1_000", "1_000 is text in YAML 1.2; write 1000, or quote it"},
    };
    for (int i = 0; i < 7; i++) {
        const yaml *y = read_good(arena_printf(memory, "- %s", cases[i][0]))->item[0];
        assert_int_equal(y->kind, YAML_TEXT);
        assert_string_equal(y->text, cases[i][0]);
        assert_string_equal(y->doubt, cases[i][1]);
    }
    assert_null(read_good("- 'yes'")->item[0]->doubt);
    assert_null(read_good("- d_model")->item[0]->doubt);
}

static void places(void **state) {
    (void)state;
    const yaml *y = read_good("# \xc3\xa9\na:\n  b: [1, \"\xc3\xa9\", x]\n");
    const yaml *b = yaml_get(yaml_get(y, "a"), "b");
    assert_int_equal(y->item[0]->key_at[0].line, 3);
    assert_int_equal(y->item[0]->key_at[0].column, 3);
    assert_int_equal(b->item[2]->at.line, 3);
    assert_int_equal(b->item[2]->at.column, 15); /* characters, not bytes */
    assert_string_equal(place_text(memory, b->at), "t.yaml:3:6");
    assert_null(yaml_get(y, "c"));
    assert_null(yaml_get(b, "c"));
}

static void functions_in_flow(void **state) {
    (void)state;
    const yaml *y = read_good("{a: logspace(1e-4, 1e-2, 7), b: [range(0,10,2), 3, f((1, 2), 3)]}");
    assert_int_equal(y->n, 2);
    assert_string_equal(y->item[0]->text, "logspace(1e-4, 1e-2, 7)");
    assert_int_equal(y->item[1]->n, 3);
    assert_string_equal(y->item[1]->item[0]->text, "range(0, 10, 2)");
    assert_string_equal(y->item[1]->item[2]->text, "f((1, 2), 3)");
    y = read_good("{a: linspace(1, 1, 1), b: 2}"); /* no duplicate key */
    assert_string_equal(y->item[0]->text, "linspace(1, 1, 1)");
    y = read_good("{a: 'f(1', b: 2}");
    assert_int_equal(y->n, 2);
}

static void errors_have_places(void **state) {
    (void)state;
    refuses("a: 1\nb: 2\na: 3\n",
            "t.yaml:3:1: error: duplicate key a; it was given at line 1 already\n");
    refuses("x: {a: 1, a: 2}\ny: {b: 1, b: 1}\n",
            "t.yaml:1:11: error: duplicate key a; it was given at line 1 already\n"
            "t.yaml:2:11: error: duplicate key b; it was given at line 2 already\n");
    refuses("a:\n\tb: 1\n",
            "t.yaml:2:1: error: a tab in the indentation; YAML takes only spaces there\n");
    refuses("a: [1,\n\t2]\n",
            "t.yaml:2:2: error: a tab in the indentation; YAML takes only spaces there\n");
    refuses("a: !foo 1\n", "t.yaml:1:4: error: unknown tag !foo; settings take no tags\n");
    refuses("a: !!python/object:os.system [x]\n",
            "t.yaml:1:4: error: unknown tag tag:yaml.org,2002:python/object:os.system; settings "
            "take no tags\n");
    refuses("a: !e!x 1\n", "t.yaml:1:4: error: unknown tag; settings take no tags\n");
    refuses("a: *b\n", "t.yaml:1:4: error: alias *b has no anchor &b before it\n");
    refuses("a: &b [1, *b]\n", "t.yaml:1:11: error: alias *b refers to the value it stands in\n");
    refuses("a: &b {c: *b}\n", "t.yaml:1:11: error: alias *b refers to the value it stands in\n");
    refuses("a: 1\n---\nb: 2\n",
            "t.yaml:2:1: error: a second document begins here; a file holds one\n");
    refuses("b: &x {c: 1}\na:\n  <<: *x\n",
            "t.yaml:3:3: error: merge keys (<<) are not part of YAML 1.2; write the settings out, "
            "or use a recipe\n");
    refuses("[1, 2]: 3\n", "t.yaml:1:1: error: a list as a key; keys are words\n");
    refuses("", "t.yaml:1:1: error: the file is empty\n");
    refuses("# only a comment\n", "t.yaml:1:1: error: the file is empty\n");
    refuses("a: \"x\\0y\"\n", "t.yaml:1:4: error: text with a NUL character; leave it out\n");
    refuses("a: 1\nb: \xc3(\n", "t.yaml:2:4: error: byte 0xc3 is not UTF-8; save the file as "
                                "UTF-8\n");
    refuses("a: \xed\xa0\x80\n", "t.yaml:1:4: error: byte 0xed is not UTF-8; save the file as "
                                 "UTF-8\n");
    refuses("\xff\xfe"
            "a: 1\n",
            "t.yaml:1:1: error: byte 0xff is not UTF-8; save the file as UTF-8\n");
    refuses("a: x\x01y\n", "t.yaml:1:5: error: control character 0x01; remove it\n");
    refuses_about("a: 1\0b", 6,
                  "t.yaml:1:5: error: control character 0x00; this is no text: "
                  "name a grid file, which is YAML\n");
    refuses_about("a: [1, 2\nb: 3\n", 14, "t.yaml:2:2: error: not valid YAML: did not find");
    refuses_about("a: 'x\n", 6, "t.yaml:2:1: error: not valid YAML: found unexpected end of str");
    refuses_about("a: @x\n", 6, "t.yaml:1:4: error: not valid YAML: found character that cannot");
    read_good("\xef\xbb\xbf"
              "a: 1\n"); /* a byte order mark is fine */
    assert_int_equal(read_good("a: 1\r\nb:\r\n  c: 2\r\n")->item[1]->item[0]->at.column, 6);
    read_good("a: |\n  x\n  \ty\n"); /* so is a tab in text */
}

static void files(void **state) {
    (void)state;
    char folder[] = "/tmp/yaml_test_XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.yaml", folder);
    assert_null(yaml_read_file(memory, path, found));
    assert_string_equal(
        toy_messages(memory, found),
        arena_printf(memory,
                     "%s: error: cannot be opened: No such file or directory; name a grid "
                     "file, such as experiments/quickstart.yaml\n",
                     path));
    found = diag_new(memory);
    assert_null(yaml_read_file(memory, folder, found));
    assert_string_equal(
        toy_messages(memory, found),
        arena_printf(memory, "%s: error: is a folder; name a file in it\n", folder));
    found = diag_new(memory);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_null(yaml_read_file(memory, path, found)); /* does not wait for a writer */
    assert_int_equal(diag_errors(found), 1);
    unlink(path);

    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs("a: 1\n", file);
    fclose(file);
    found = diag_new(memory);
    assert_int_equal(yaml_read_file(memory, path, found)->item[0]->integer, 1);
    assert_int_equal(truncate(path, YAML_MAX_BYTES + 1), 0);
    assert_null(yaml_read_file(memory, path, found));
    assert_string_equal(toy_messages(memory, found),
                        arena_printf(memory,
                                     "%s: error: is larger than 8 MiB; no grid file needs "
                                     "that\n",
                                     path));
    unlink(path);
    rmdir(folder);
}

static const char *repeated(const char *text, long bytes) {
    const long n = (long)strlen(text);
    char *out = arena_alloc(memory, (size_t)(bytes + n + 1));
    for (long i = 0; i < bytes; i += n) memcpy(out + i, text, (size_t)n);
    return out;
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Every one of these ends with an error, and soon. */
static void bombs(void **state) {
    (void)state;
    static const char *const pattern[] = {
        "[",    "{",  "{a: ", "- ", "? ",   "[[],", "&a [",       "*a ", "a: ",    "!x ",
        "\"\\", "'x", "- - ", "%",  "a:\n", "[a,",  "a: &a *a\n", "|",   "{\"a\":"};
    for (size_t i = 0; i < sizeof pattern / sizeof *pattern; i++) {
        const double begin = seconds();
        const char *text = repeated(pattern[i], 1 << 20);
        read_bytes(text, (long)strlen(text));
        assert_true(diag_errors(found) > 0);
        if (seconds() - begin > 10) fail_msg("%s took %.1f s", pattern[i], seconds() - begin);
        arena_free(memory);
        memory = arena_new();
    }
    refuses(repeated("[", 100), "t.yaml:1:65: error: nested deeper than 64 levels\n");

    text_buffer b = {.arena = memory}; /* ten levels of ten: 10^10 values */
    buffer_add(&b, "a0: &a0 x\n");
    for (int i = 1; i <= 10; i++) {
        buffer_add(&b, arena_printf(memory, "a%d: &a%d [", i, i));
        for (int k = 0; k < 10; k++)
            buffer_add(&b, arena_printf(memory, "%s*a%d", k ? ", " : "", i - 1));
        buffer_add(&b, "]\n");
    }
    refuses_about(b.text, b.n, "t.yaml:7:");
    assert_non_null(
        strstr(toy_messages(memory, found), "more than 262144 values, aliases expanded"));

    b.n = 0;
    for (int i = 0; i < 1 << 16; i++) buffer_add(&b, "                                ");
    buffer_add(&b, "[");
    for (int i = 0; i < YAML_MAX_NODES; i++) buffer_add(&b, "1,");
    buffer_add(&b, "]");
    refuses_about(b.text, b.n, "t.yaml:1:");
}

/* Every prefix and every file with one byte changed ends in a tree or in an error. */
static void damaged(void **state) {
    (void)state;
    const char *good =
        "# x\na: &q [1, {b: 'c', d: \"\\x41\"}]\ne:\n  - *q\n  - |\n    z\nf: g(1, 2)\n";
    const long n = (long)strlen(good);
    for (long i = 0; i < n; i++) {
        char *text = arena_text(memory, good);
        assert_true(read_bytes(text, i) || diag_errors(found));
        for (int byte = 1; byte < 256; byte += 7) {
            text[i] = (char)byte;
            assert_true(read_bytes(text, n) || diag_errors(found));
        }
    }
}

static void values_in_flow(void **state) {
    (void)state;
    const place at = {.file = "command line: k=v"};
    assert_int_equal(yaml_read_value(memory, "3", at, found)->integer, 3);
    assert_int_equal(yaml_read_value(memory, "[q, k]", at, found)->n, 2);
    assert_int_equal(yaml_read_value(memory, "", at, found)->kind, YAML_NULL);
    assert_int_equal(yaml_read_items(memory, "a, range(1, 2), [b]", at, found)->n, 3);
    assert_int_equal(diag_errors(found), 0);
    static const char *const bad[] = {"1, 2", "a]", "]: b", "1], [2", "{", "'x", "a #b", "\xff"};
    for (int i = 0; i < 8; i++) {
        found = diag_new(memory);
        assert_null(yaml_read_value(memory, bad[i], at, found));
        const char *line = diag_line(found, 0);
        assert_non_null(line);
        assert_memory_equal(line, "command line: k=v: error: ", 26);
    }
}

/* Plain words are read without libyaml: all short texts of the characters that decide, against the
 * same text in a file. */
static void words_are_as_in_a_file(void **state) {
    (void)state;
    static const char letter[] = "a0e-+._'";
    enum { N = sizeof letter - 1, ALL = N * N * N * N };
    const place at = {.file = "k=v"};
    int read = 0;
    for (int i = 0; i < ALL; i++) {
        arena *a = arena_new();
        diag *d = diag_new(a), *e = diag_new(a);
        const char text[] = {letter[i % N], letter[i / N % N], letter[i / N / N % N],
                             letter[i / N / N / N], '\0'};
        const char *word = text + i % 3;
        const char *list = arena_printf(a, "[%s]", word);
        const yaml *x = yaml_read_items(a, word, at, d);
        const yaml *y = yaml_read_text(a, list, (long)strlen(list), "k=v", e);
        if (!x != !y || diag_errors(d) != diag_errors(e)) fail_msg("%s", word);
        if (x) {
            const yaml *one = x->item[0], *other = y->item[0];
            if (x->n != 1 || x->kind != y->kind || y->n != 1 || x->weight != y->weight ||
                x->flow != y->flow || one->kind != other->kind || strcmp(one->text, other->text) ||
                one->quoted != other->quoted || !one->doubt != !other->doubt ||
                one->weight != other->weight || one->integer != other->integer ||
                memcmp(&one->real, &other->real, sizeof one->real))
                fail_msg("%s", word);
            read++;
        }
        arena_free(a);
    }
    assert_in_range(read, ALL / 2, ALL - 1);
}

static void messages_sort_and_merge(void **state) {
    (void)state;
    const place a = {"f", 2, 1}, b = {"f", 1, 9}, nowhere = {0};
    diag_warning(found, a, "second");
    diag_error(found, b, "first %d", 1);
    diag_error(found, b, "first %d", 1);
    diag_error(found, nowhere, "alone");
    assert_string_equal(toy_messages(memory, found),
                        "error: alone\nf:1:9: error: first 1\nf:2:1: warning: second\n");
    assert_int_equal(diag_errors(found), 2);
    assert_int_equal(diag_warnings(found), 1);
    assert_int_equal(diag_status(found), STATUS_USAGE);
    error e = {0};
    assert_int_equal(diag_first(found, &e), STATUS_USAGE);
    assert_string_equal(e.text, "error: alone");
    assert_int_equal(diag_status(diag_new(memory)), STATUS_OK);
    for (int i = 0; i < DIAG_SHOWN; i++) diag_error(found, (place){"g", i + 1, 1}, "one of many");
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    assert_non_null(out);
    diag_print(found, out);
    fclose(out);
    assert_non_null(strstr(text, "\ng:97:1: error: one of many\nand 3 more\n"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(scalars, start, stop),
        cmocka_unit_test_setup_teardown(doubtful_text, start, stop),
        cmocka_unit_test_setup_teardown(places, start, stop),
        cmocka_unit_test_setup_teardown(functions_in_flow, start, stop),
        cmocka_unit_test_setup_teardown(errors_have_places, start, stop),
        cmocka_unit_test_setup_teardown(files, start, stop),
        cmocka_unit_test_setup_teardown(bombs, start, stop),
        cmocka_unit_test_setup_teardown(damaged, start, stop),
        cmocka_unit_test_setup_teardown(values_in_flow, start, stop),
        cmocka_unit_test_setup_teardown(words_are_as_in_a_file, start, stop),
        cmocka_unit_test_setup_teardown(messages_sort_and_merge, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
