/* readme_test.c - the tables of models/README.md against the registry: every mixer and ffn has its
 * rows, no row is about another, the numbers are those of the program, every tensor is named. */
#include "harness/catalog.h"

// cmocka needs these four before it
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// and is last
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char path[] = "models/README.md";
static arena *memory;
static const char *readme;

static int read_readme(void **state) {
    (void)state;
    memory = arena_new();
    FILE *f = fopen(path, "r");
    if (!f) BUG("%s cannot be read", path);
    char *text = arena_alloc(memory, 1 << 18);
    text[fread(text, 1, (1 << 18) - 1, f)] = 0;
    fclose(f);
    readme = text;
    return 0;
}

static int drop_readme(void **state) {
    (void)state;
    arena_free(memory);
    return 0;
}

/* The first row that begins so, behind the line that begins with `head`. */
static const char *row_of(const char *head, const char *start) {
    const char *at = strstr(readme, head);
    if (!at) BUG("%s has no table %s", path, head);
    for (at = strchr(at, '\n'); at && at[1] == '|'; at = strchr(at + 1, '\n'))
        if (!strncmp(at + 1, start, strlen(start))) return at + 1;
    fail_msg("%s: the table \"%s\" has no row \"%s\"", path, head, start);
    return NULL;
}

/* Cell `n` of a row, from 0. */
static const char *cell_of(const char *row, int n) {
    for (; n >= 0 && row; n--) row = strchr(row, '|') ? strchr(row, '|') + 1 : NULL;
    return row;
}

static int rows_of(const char *head) {
    const char *at = strchr(strstr(readme, head), '\n');
    int n = 0;
    for (at = strchr(at + 1, '\n'); at[1] == '|'; at = strchr(at + 1, '\n')) n++;
    return n;
}

static job job_of(const char *setting) {
    const char *all[] = {"task.name=nar", "model.d_model=64", setting};
    diag *d = diag_new(memory);
    const config *c = config_from_settings(memory, catalog_schema(), all, 3, d);
    diag_print(d, stderr);
    assert_non_null(c);
    job j;
    job_bind(&j, memory, &c, 1);
    j.model.vocab = 16;
    j.model.max_time = 256;
    return j;
}

static const char mixer_table[] = "| mixer | formula |", ffn_table[] = "| ffn | formula |",
                  tensor_table[] = "| of | tensors |";

static void test_mixers_have_rows_with_their_numbers(void **state) {
    (void)state;
    for (int i = 0; i < n_mixers; i++) {
        const char *name = mixers[i]->name;
        const job j = job_of(arena_printf(memory, "model.mixer=%s", name));
        model_cost cost;
        error e = {0};
        if (model_measure_mixer(&cost, &j.model, 256, &e)) fail_msg("%s", e.text);
        const char *row = row_of(mixer_table, arena_printf(memory, "| `%s` |", name));
        const double want[] = {(double)cost.params, cost.state_size, cost.forward_flops_per_token};
        for (int k = 0; k < 3; k++) {
            const double said = strtod(cell_of(row, 5 + k), NULL);
            if (!(fabs(said - want[k]) <= 0.5))
                fail_msg("%s: %s, column %d says %.0f, the program %.0f", path, name, 6 + k, said,
                         want[k]);
        }
    }
    assert_int_equal(rows_of(mixer_table), n_mixers);
}

static void test_ffns_have_rows(void **state) {
    (void)state;
    for (int i = 0; i < n_ffns; i++)
        row_of(ffn_table, arena_printf(memory, "| `%s` |", ffns[i]->name));
    assert_int_equal(rows_of(ffn_table), n_ffns);
}

/* Every parameter LAYER.PART.NAME of a model stands in the row as `NAME`. */
static void check_tensors(const job *j, const char *part, const char *start) {
    model m;
    error e = {0};
    if (model_build(&m, memory, backend_at(0), &j->model, 1, 1, 8, false, HEAD_LOGITS, &e))
        fail_msg("%s", e.text);
    const char *row = row_of(tensor_table, start);
    row = arena_printf(memory, "%.*s", (int)strcspn(row, "\n"), row);
    const char *prefix = arena_printf(memory, "layer.0.%s.", part);
    for (int i = 0; i < m.g->n_param; i++) {
        const char *name = m.g->param[i]->name;
        if (strncmp(name, prefix, strlen(prefix)) != 0) continue;
        name += strlen(prefix);
        if (strcmp(name, "norm") && !strstr(row, arena_printf(memory, "`%s`", name)))
            fail_msg("%s: the row \"%s\" does not name the tensor %s", path, start, name);
    }
}

static void test_tensors_are_named(void **state) {
    (void)state;
    for (int i = 0; i < n_mixers; i++) {
        const job j = job_of(arena_printf(memory, "model.mixer=%s", mixers[i]->name));
        check_tensors(&j, "mixer", arena_printf(memory, "| `%s` |", mixers[i]->name));
    }
    for (int i = 0; i < n_ffns; i++) {
        if (!ffns[i]->build) continue;
        const job j = job_of(arena_printf(memory, "model.ffn=%s", ffns[i]->name));
        check_tensors(&j, "ffn", arena_printf(memory, "| ffn `%s` |", ffns[i]->name));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mixers_have_rows_with_their_numbers),
        cmocka_unit_test(test_ffns_have_rows),
        cmocka_unit_test(test_tensors_are_named),
    };
    return cmocka_run_group_tests(tests, read_readme, drop_readme);
}
