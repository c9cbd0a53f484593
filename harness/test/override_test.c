/* override_test.c - settings on the command line: every form, its rank over the file, its errors.
 */
#include "harness/override.h"

#include "toy_schema.h"

#include "diag_fixture.h"

static const char *const file =
    "experiment: e\n"
    "defaults: {task.name: mqar, train.clip: 2}\n"
    "grid: {model.mixer: [cat, mamba], train.lr: [1, 2]}\n"
    "when: [{if: {model.mixer: cat}, set: {model.conv.width: [4, 5]}}]\n"
    "zip: [{model.d_model: [8, 16], train.steps: [1, 2]}]\n"
    "seeds: 2\n";

static const grid *with(const char *text, const char *const *argument) {
    int n = 0;
    while (argument[n]) n++;
    found = diag_new(memory);
    return grid_read(memory, &toy, text, (long)strlen(text), "g.yaml", argument, n, found);
}

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The cells' labels, without those of the small grid's constant parts. */
static void gives(const char *const *argument, const char *labels) {
    const grid *g = with("experiment: e\ndefaults: {task.name: mqar, train.clip: 2}\n"
                         "grid: {model.mixer: [cat, mamba], train.lr: [1, 2]}\n",
                         argument);
    assert_string_equal(toy_messages(memory, found), "");
    text_buffer b = {.arena = memory};
    for (int i = 0; i < g->n; i++) {
        buffer_add(&b, g->cell[i].label);
        buffer_add(&b, "\n");
    }
    assert_string_equal(b.text, labels);
}

static void refuses(const char *argument, const char *sentence) {
    assert_null(with(file, ARGS(argument)));
    assert_string_equal(toy_messages(memory, found),
                        arena_printf(memory, "command line: %s: error: %s\n", argument, sentence));
}

static void parsing(void **state) {
    (void)state;
    int n;
    const override *o = override_read(
        memory, ARGS("a.b=v", "+a.b=1", "++a=x", "~a.b", "k=1,[2,3],range(0, 4)", "k=a=b"), 6, &n,
        found);
    assert_int_equal(diag_errors(found), 0);
    assert_int_equal(n, 6);
    assert_int_equal(o[0].kind, OVERRIDE_SET);
    assert_string_equal(o[0].key, "a.b");
    assert_string_equal(o[0].values->item[0]->text, "v");
    assert_string_equal(o[0].at.file, "command line: a.b=v");
    assert_int_equal(o[1].kind, OVERRIDE_ADD);
    assert_int_equal(o[2].kind, OVERRIDE_SET);
    assert_string_equal(o[2].key, "a");
    assert_int_equal(o[3].kind, OVERRIDE_REMOVE);
    assert_null(o[3].values);
    assert_int_equal(o[4].values->n, 3);
    assert_int_equal(o[4].values->item[1]->n, 2);
    assert_string_equal(o[4].values->item[2]->text, "range(0, 4)");
    assert_string_equal(o[5].values->item[0]->text, "a=b");
}

static void values_replace_axes(void **state) {
    (void)state;
    gives(ARGS("train.lr=3"), "mixer=cat seed=0\nmixer=mamba seed=0\n");
    gives(ARGS("model.mixer=attention"), "lr=1 seed=0\nlr=2 seed=0\n");
    gives(ARGS("train.lr=3", "train.lr=4"), "mixer=cat seed=0\nmixer=mamba seed=0\n");
    /* An axis keeps its place among the others. */
    gives(ARGS("model.mixer=attention,cat", "train.lr=5"),
          "mixer=attention seed=0\nmixer=cat seed=0\n");
    gives(ARGS("model.mixer=attention,cat"),
          "mixer=attention lr=1 seed=0\nmixer=attention lr=2 seed=0\nmixer=cat lr=1 seed=0\n"
          "mixer=cat lr=2 seed=0\n");
    gives(ARGS("train.lr=range(3,5)", "model.mixer=cat"), "lr=3 seed=0\nlr=4 seed=0\n");
    gives(ARGS("train.steps=1,2", "train.lr=1"),
          "mixer=cat steps=1 seed=0\nmixer=cat steps=2 seed=0\nmixer=mamba steps=1 seed=0\n"
          "mixer=mamba steps=2 seed=0\n");
    gives(ARGS("model.mixer=cat", "train.lr=1", "eval.lengths=[1,2],[3]"),
          "lengths=[1,2] seed=0\nlengths=[3] seed=0\n");
    const grid *g = with(file, ARGS("eval.lengths=[1,2]", "train.clip=7"));
    assert_string_equal(config_get(g->cell[0].config, "eval.lengths"), "[1,2]");
    assert_string_equal(config_get(g->cell[0].config, "train.clip"), "7");
}

static void values_outrank_when_and_zip(void **state) {
    (void)state;
    const char *text = "experiment: e\ndefaults: {task.name: mqar, model.mixer: cat}\n"
                       "zip: [{model.d_model: [8, 16], train.steps: [1, 2]}]\n"
                       "when: [{if: {model.mixer: cat}, set: {model.conv.width: [4, 5], "
                       "train.lr: 1}}]\n"
                       "baseline_changes: {train.clip: [3, 4], model.dropout: 0.5}\n";
    assert_int_equal(with(text, ARGS("++experiment=f"))->n, 2 * 2 * 4);
    const grid *g = with(text, ARGS("model.conv.width=9", "train.lr=2", "model.d_model=4",
                                    "train.clip=1", "~model.dropout"));
    assert_string_equal(toy_messages(memory, found), "");
    assert_int_equal(g->n, 2);
    assert_string_equal(g->cell[0].label, "steps=1 seed=0");
    assert_string_equal(config_get(g->cell[1].config, "model.conv.width"), "9");
    assert_string_equal(config_get(g->cell[1].config, "train.lr"), "2");
    assert_string_equal(config_get(g->cell[1].config, "model.d_model"), "4");
    assert_string_equal(config_get(g->cell[1].config, "train.clip"), "1");
}

static void seeds_and_names(void **state) {
    (void)state;
    gives(ARGS("seeds=2", "train.lr=1", "model.mixer=cat"), "seed=0\nseed=1\n");
    gives(ARGS("seeds=4,9", "train.lr=1", "model.mixer=cat"), "seed=4\nseed=9\n");
    gives(ARGS("seeds=[4]", "train.lr=1", "model.mixer=cat"), "seed=4\n");
    gives(ARGS("seeds=range(4,6)", "train.lr=1", "model.mixer=cat"), "seed=4\nseed=5\n");
    gives(ARGS("train.seed=3,1", "train.lr=1", "model.mixer=cat"), "seed=3\nseed=1\n");
    assert_int_equal(with(file, ARGS("train.seed=3"))->n, 12);
    assert_int_equal(with(file, ARGS("~seeds"))->n, 12);
    const grid *g = with(file, ARGS("experiment=other", "recipe=wide"));
    assert_string_equal(g->experiment, "other");
    assert_string_equal(config_get(g->cell[0].config, "train.lr"), "1");
    assert_non_null(strstr(g->spec_json, "\"recipe\":\"wide\""));
    g = with("defaults: {task.name: mqar}\n", ARGS("experiment=x", "recipe=wide,gated"));
    assert_string_equal(toy_messages(memory, found), "");
    assert_int_equal(g->n, 2);
    assert_string_equal(g->cell[1].label, "recipe=gated seed=0");
}

static void adding_and_removing(void **state) {
    (void)state;
    gives(ARGS("~train.lr"), "mixer=cat seed=0\nmixer=mamba seed=0\n");
    const grid *g = with(file, ARGS("~train.clip", "+train.note=hi", "~model.conv.width"));
    assert_string_equal(toy_messages(memory, found), "");
    assert_string_equal(config_get(g->cell[0].config, "train.clip"), "1");
    assert_string_equal(config_get(g->cell[0].config, "train.note"), "hi");
    assert_string_equal(config_get(g->cell[0].config, "model.conv.width"), "3");
    refuses("+train.clip=3", "the file sets train.clip already; write it without + to replace it");
    refuses("+train.lr=3", "the file sets train.lr already; write it without + to replace it");
    refuses("+train.seed=3", "the file sets train.seed already; write it without + to replace it");
    refuses("+model.conv.width=3",
            "the file sets model.conv.width already; write it without + to replace it");
    refuses("~train.note", "there is nothing to take out: the file does not set this key");
    refuses("~experiment", "there is nothing to take out: every sweep has an experiment");
    refuses("~train.lr=3", "~train.lr takes a setting out and has no value; leave out =3");
}

static void errors(void **state) {
    (void)state;
    refuses("train.lr", "a setting is written key=value, and ~key takes one out");
    refuses("=3", "the key is missing");
    refuses("train lr=3", "the key is not a word");
    refuses("train.lr=", "train.lr has no value; write null for none, '' for empty text, [] for an "
                         "empty list");
    refuses("train.lr=x", "train.lr must be a number from 0 to 10, not x");
    refuses("train.lr=1,x", "train.lr must be a number from 0 to 10, not x");
    refuses("train.lr={a: 1}", "train.lr: a map is not a value; use zip to vary settings together");
    refuses("train.ls=3", "unknown key train.ls; did you mean train.lr?");
    refuses("~train.ls", "unknown key train.ls; did you mean train.lr?");
    refuses("lr=3", "unknown key lr; did you mean train.lr?");
    refuses("train.lr=range(1,0)", "train.lr: range(1, 0): no value lies in this range");
    refuses("model.state=3", "model.state applies to mixer mamba, not to cat; use \"when:\" to set "
                             "it for mamba only");
    refuses("recipe=wid", "unknown recipe wid; did you mean wide?");
    refuses("seeds=0", "seeds: 0: a number of seeds from 1 to 100000, or a list of them");
    refuses("experiment=a b", "experiment is a name of up to 100 letters, digits, dots, dashes and "
                              "underscores that starts with a letter or digit, not a b");
    /* All at once, before what the file has to say. */
    assert_null(with("experiment: e\ndefaults: {task.name: mqar, train.clip: x}\n",
                     ARGS("train.lr=x", "b=1")));
    assert_string_equal(
        toy_messages(memory, found),
        "command line: b=1: error: unknown key b; mixgrid help config lists them\n"
        "command line: train.lr=x: error: train.lr must be a number from 0 to 10, not x\n"
        "g.yaml:2:41: error: train.clip must be a number of at least 0, not x\n");
}

/* Whatever is typed, the answer is a grid or an error. */
static void damaged_arguments(void **state) {
    (void)state;
    static const char *const good[] = {"train.lr=1,2", "+train.note='a b'", "~train.clip",
                                       "eval.lengths=[1,2],[3]", "train.steps=range(1,4)"};
    static const char bytes[] = "\n :,[]{}()0-'\"&*!|#@~+=\x80";
    for (int i = 0; i < 5; i++)
        for (size_t at = 0; at < strlen(good[i]); at++)
            for (size_t k = 0; k < sizeof bytes; k++) {
                char *damaged = arena_text(memory, good[i]);
                damaged[at] = bytes[k];
                const grid *g = with(file, ARGS(damaged));
                assert_true(g ? g->n > 0 : diag_errors(found) > 0);
                arena_free(memory);
                memory = arena_new();
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(parsing, start, stop),
        cmocka_unit_test_setup_teardown(values_replace_axes, start, stop),
        cmocka_unit_test_setup_teardown(values_outrank_when_and_zip, start, stop),
        cmocka_unit_test_setup_teardown(seeds_and_names, start, stop),
        cmocka_unit_test_setup_teardown(adding_and_removing, start, stop),
        cmocka_unit_test_setup_teardown(errors, start, stop),
        cmocka_unit_test_setup_teardown(damaged_arguments, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
