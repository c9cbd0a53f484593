/* report_test.c - the written folder: same bytes, escapes, missing gnuplot, one-sentence errors. */
#include "report_fixture.h"

#include "report/figure.h"

#include <dirent.h>

static const char nasty[] = "a_b & \"q\" <i>'s` %$#{}~^\\ |";

/* Two mixers, three seeds, two lengths, a curve; one mixer with every special character. */
static void fill(fixture *f) {
    add_experiment(f, "x<y>", "{\"text\": \"# 5 < 6 & ```\\n\", \"description\": \"is 5 < 6?\"}");
    for (int m = 0; m < 2; m++)
        for (long seed = 0; seed < 3; seed++) {
            double y = 0.5 + 0.1 * m + 0.01 * (double)seed;
            const char *id = add_run(f, "x<y>", m ? nasty : "cat", 0, seed,
                                     m && seed == 2 ? "failed" : "done", y, y);
            run_sql(f, arena_printf(f->arena,
                                    "INSERT INTO final VALUES ('%s', 'test', 'length=32', "
                                    "'token_acc', %g, NULL), ('%s', 'test', 'length=64', "
                                    "'token_acc', %g, NULL)",
                                    id, y, id, y / 2));
            run_sql(f, arena_printf(f->arena,
                                    "INSERT INTO series (run, split, name) VALUES ('%s', 'train', "
                                    "'loss')",
                                    id));
            run_sql(f, "INSERT INTO point SELECT max(s.number), p.value, 3.0 / p.value, NULL FROM "
                       "series AS s, (SELECT 1 AS value UNION SELECT 2 UNION SELECT 5) AS p GROUP "
                       "BY p.value");
        }
    fixture_ready(f);
}

static status write_report(fixture *f, const char *folder, const char **log, error *e) {
    char *s = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&s, &n);
    report_options options = {.out = arena_printf(f->arena, "%s/%s", f->folder, folder),
                              .image_formats = FIGURE_SVG};
    report_write(f->path, "x<y>", &options, out, e);
    fclose(out);
    *log = arena_text(f->arena, s);
    free(s);
    return e->code;
}

static int same_files(fixture *f, const char *one, const char *two) {
    DIR *dir = opendir(arena_printf(f->arena, "%s/%s", f->folder, one));
    assert_non_null(dir);
    int n = 0;
    for (struct dirent *d; (d = readdir(dir));) {
        if (!strchr(d->d_name, '.') || d->d_name[0] == '.') continue;
        const char *x = read_out(f, arena_printf(f->arena, "%s/%s", one, d->d_name));
        const char *y = read_out(f, arena_printf(f->arena, "%s/%s", two, d->d_name));
        if (strcmp(x, y) != 0) fail_msg("%s differs between two reports", d->d_name);
        n++;
    }
    closedir(dir);
    return n;
}

static void test_same_bytes(void **state) {
    (void)state;
    fixture f = fixture_open();
    fill(&f);
    error e = {0};
    const char *log;
    if (write_report(&f, "one", &log, &e) || write_report(&f, "two", &log, &e))
        fail_msg("%s", e.text);
    has_not(log, "could not");
    assert_int_equal(same_files(&f, "one", "two"), 2);
    assert_true(same_files(&f, "one/tables", "two/tables") >= 9);
    if (gnuplot_found())
        assert_true(same_files(&f, "one/figures", "two/figures") >= 9);
    else
        print_message("gnuplot is not installed: figures were not compared\n");
    fixture_close(&f);
}

static void test_escapes(void **state) {
    (void)state;
    fixture f = fixture_open();
    fill(&f);
    error e = {0};
    const char *log;
    if (write_report(&f, "out", &log, &e)) fail_msg("%s", e.text);
    const char *html = read_out(&f, "out/index.html");
    has(html, "a_b &amp; &quot;q&quot; &lt;i&gt;&#39;s` %$#{}~^\\ |");
    has(html, "is 5 &lt; 6?");
    has(html, "it &lt;went&gt; wrong &amp; 50% lost");
    has_not(html, "<i>");
    has(read_out(&f, "out/tables/main.tex"),
        "a\\_b \\& \\textquotedbl{}q\\textquotedbl{} \\textless{}i\\textgreater{}'s` "
        "\\%\\$\\#\\{\\}\\textasciitilde{}\\textasciicircum{}\\textbackslash{} |");
    has(read_out(&f, "out/tables/main.csv"), "\"a_b & \"\"q\"\" <i>'s` %$#{}~^\\ |\",1000,");
    has(read_out(&f, "out/tables/main.md"), "a\\_b &amp; \"q\" &lt;i>'s\\` %\\$#{}~^\\\\ \\|");
    has(read_out(&f, "out/report.md"), "````\n# 5 < 6 & ```");
    if (gnuplot_found()) {
        has(read_out(&f, "out/figures/vs_length.gp"), "'a_b & \"q\" <i>''s` %$#{}~^\\ |'");
        const char *svg = read_out(&f, "out/figures/vs_length.svg");
        has(svg, "a_b &amp; ");
        has_not(svg, "GNUPLOT");
        has_not(svg, "id='gp");
    }
    fixture_close(&f);
}

/* Where all but one mixer diverged, the line that is left has its name, and nobody is told to try
 * the others again. */
static void test_one_mixer_left(void **state) {
    (void)state;
    fixture f = fixture_open();
    add_experiment(&f, "x<y>", "{}");
    for (long seed = 0; seed < 2; seed++) {
        add_run(&f, "x<y>", "attention", 0, seed, "diverged", NAN, NAN);
        const char *id = add_run(&f, "x<y>", "cat", 0, seed, "done", 0.5, 0.5);
        for (int length = 32; length <= 64; length += 32)
            run_sql(&f, arena_printf(f.arena,
                                     "INSERT INTO final VALUES ('%s', 'test', 'length=%d', "
                                     "'token_acc', 0.5, NULL)",
                                     id, length));
    }
    fixture_ready(&f);
    error e = {0};
    const char *log;
    if (write_report(&f, "out", &log, &e)) fail_msg("%s", e.text);
    const char *page = read_out(&f, "out/report.md");
    has(page, "2 failed or diverged runs are left out.");
    has(page, "A run that diverged would diverge again.");
    has_not(page, "--retry failed");
    if (gnuplot_found()) has(read_out(&f, "out/figures/vs_length.svg"), ">cat<");
    fixture_close(&f);
}

/* Tables, page and text still come; the sentence names the remedy once. */
static void test_no_gnuplot(void **state) {
    (void)state;
    fixture f = fixture_open();
    fill(&f);
    const char *path = arena_text(f.arena, getenv("PATH"));
    setenv("PATH", "", 1);
    error e = {0};
    const char *log;
    write_report(&f, "out", &log, &e);
    setenv("PATH", path, 1);
    if (e.code) fail_msg("%s", e.text);
    has(log, "gnuplot is not installed");
    assert_null(strstr(strstr(log, "gnuplot") + 1, "gnuplot is not installed"));
    has(read_out(&f, "out/index.html"), "apt install gnuplot-nox");
    has(read_out(&f, "out/tables/by_length.csv"), "length=32 mean");
    has_not(read_out(&f, "out/report.md"), "](figures/");
    fixture_close(&f);
}

static void expect_error(fixture *f, const char *experiment, const char *out, status code,
                         const char *part) {
    error e = {0};
    report_options options = {.out = out};
    FILE *log = fopen("/dev/null", "w");
    report_write(f->path, experiment, &options, log, &e);
    fclose(log);
    assert_int_equal(e.code, code);
    has(e.text, part);
    assert_null(strchr(e.text, '\n'));
}

static void test_errors(void **state) {
    (void)state;
    fixture f = fixture_open();
    const char *out = arena_printf(f.arena, "%s/out", f.folder);
    add_experiment(&f, "mqar-width", "{}");
    add_experiment(&f, "other", "{\"report\": {\"figures\": [{\"kind\": \"pie\"}]}}");
    add_run(&f, "other", "cat", 0, 0, "done", 0.5, 0.5);
    add_experiment(&f, "axisless",
                   "{\"report\": {\"figures\": [{\"kind\": \"vs_axis\", \"x\": "
                   "\"width\"}]}}");
    add_run(&f, "axisless", "cat", 0, 0, "done", 0.5, 0.5);
    add_experiment(&f, "tableless", "{\"report\": {\"tables\": [\"mian\"]}}");
    add_run(&f, "tableless", "cat", 0, 0, "done", 0.5, 0.5);
    add_experiment(&f, "waiting", "{}");
    add_run(&f, "waiting", "cat", 0, 0, "failed", (double)NAN, 0);
    fixture_ready(&f);
    expect_error(&f, "mqar-widht", out, STATUS_USAGE, "did you mean: mqar-width");
    expect_error(&f, "waiting", out, STATUS_USAGE, "no finished run yet (1 of 1 failed)");
    expect_error(&f, "other", out, STATUS_USAGE, "report.figures[0].kind is 'pie'");
    expect_error(&f, "axisless", out, STATUS_USAGE, "report.figures[0].x is 'width'");
    expect_error(&f, "tableless", out, STATUS_USAGE, "report.tables[0]");
    /* A file in the way of the folder stands for every folder that cannot be written. */
    expect_error(&f, "other", arena_printf(f.arena, "%s/out", f.path), STATUS_ENVIRONMENT, "--out");
    error e = {0};
    table_print(stdout, f.path, "other", "mian", TABLE_CSV, false, &e);
    assert_int_equal(e.code, STATUS_USAGE);
    has(e.text, "it has: main");
    fixture_close(&f);
}

static void test_empty_database(void **state) {
    (void)state;
    fixture f = fixture_open();
    fixture_ready(&f);
    expect_error(&f, "any", "/nowhere", STATUS_USAGE, "/results.db yet");
    fixture_close(&f);
}

/* Every line of a CSV file has as many fields as its head. */
static void test_csv_shape(void **state) {
    (void)state;
    fixture f = fixture_open();
    fill(&f);
    static const char *const which[] = {"main", "by_length", "runs", "axes"};
    for (int i = 0; i < 4; i++) {
        const char *s = printed(&f, "x<y>", which[i], TABLE_CSV);
        int fields = 1, first = 0, n_lines = 0;
        for (bool inside = false; *s; s++) {
            if (*s == '"') inside = !inside;
            if (*s == ',' && !inside) fields++;
            if (*s != '\n' || inside) continue;
            if (n_lines++ == 0) first = fields;
            assert_int_equal(fields, first);
            fields = 1;
        }
        assert_true(n_lines >= 3);
    }
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes),     cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_one_mixer_left), cmocka_unit_test(test_no_gnuplot),
        cmocka_unit_test(test_errors),         cmocka_unit_test(test_csv_shape),
        cmocka_unit_test(test_empty_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
