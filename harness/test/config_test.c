/* config_test.c - typed values, canonical text and run ids, options of hybrids, JSON, binding. */
#include "toy_schema.h"

#include "harness/suggest.h"

#include "diag_fixture.h"

enum { MAX_SETTINGS = 16 };

/* From settings divided by blanks. */
static const config *resolved(const char *settings) {
    const char *list[MAX_SETTINGS];
    int n = 0;
    for (char *p = arena_text(memory, settings); *p;) {
        assert_true(n < MAX_SETTINGS);
        list[n++] = p;
        p += strcspn(p, " ");
        if (*p) *p++ = '\0';
    }
    found = diag_new(memory);
    return config_from_settings(memory, &toy, list, n, found);
}

static const config *good(const char *settings) {
    const config *c = resolved(settings);
    assert_string_equal(toy_messages(memory, found), "");
    assert_non_null(c);
    return c;
}

/* The settings give this message, said of the last of them, and no other. */
static void refuses(const char *settings, const char *sentence) {
    assert_null(resolved(settings));
    const char *last = strrchr(settings, ' ');
    assert_string_equal(toy_messages(memory, found),
                        arena_printf(memory, "command line: %s: error: %s\n",
                                     last ? last + 1 : settings, sentence));
}

static void schema_is_sound(void **state) {
    (void)state;
    schema_verify(&toy);
    assert_ptr_equal(schema_find(&toy, "model.conv.kind"), &toy_cat_rows[3]);
    assert_ptr_equal(schema_find(&toy, "model.conv.kind@mamba"), &toy_mamba_rows[2]);
    assert_null(schema_find(&toy, "model.conv"));
    assert_null(schema_find(&toy, "model.conv.kind@attention"));
    assert_null(schema_find(&toy, "conv.kind"));
    assert_null(schema_find(&toy, "models.mixer"));
    assert_true(schema_is_group(&toy, "model"));
    assert_true(schema_is_group(&toy, "model.conv"));
    assert_false(schema_is_group(&toy, "model.conv.width"));
    assert_false(schema_is_group(&toy, "mode"));
    assert_false(schema_is_group(&toy, "model.con"));
    assert_false(schema_is_group(&toy, "models"));
}

static void canonical_text(void **state) {
    (void)state;
    assert_string_equal(
        config_json(memory, good("task.name=nar task.length=64 train.threads=4"), CONFIG_IDENTITY),
        "{\"eval.lengths\":[],\"eval.points\":[],\"model.d_model\":64,\"model.dropout\":0,"
        "\"model.ffn\":\"none\",\"model.heads\":1,\"model.layers\":[],\"model.mixer\":"
        "\"attention\",\"task.length\":64,\"task.n\":1,\"task.name\":\"nar\",\"train.clip\":1,"
        "\"train.data_seed\":0,\"train.lr\":0.001,\"train.note\":null,\"train.seed\":0,"
        "\"train.shuffle\":true,\"train.steps\":100}");
    const config *c = good("task.name=mqar model.mixer=cat model.conv.on=[v,q] "
                           "eval.lengths=[32,0x40] eval.points=[1e-1,1,.25] train.clip=.inf "
                           "train.note='a\"\\b'");
    assert_string_equal(config_find(c, "model.conv.on")->pair, "\"model.conv.on\":[\"q\",\"v\"]");
    assert_string_equal(config_find(c, "eval.lengths")->pair, "\"eval.lengths\":[32,64]");
    assert_string_equal(config_find(c, "eval.points")->pair, "\"eval.points\":[0.1,1,0.25]");
    assert_string_equal(config_find(c, "train.clip")->pair, "\"train.clip\":\"inf\"");
    assert_string_equal(config_find(c, "train.note")->pair, "\"train.note\":\"a\\\"\\\\b\"");
    assert_string_equal(config_get(c, "model.conv.on"), "[q,v]");
    assert_string_equal(config_get(c, "train.clip"), "inf");
    assert_string_equal(config_get(c, "model.conv.kind"), "scalar");
    assert_null(config_get(c, "model.state"));
    assert_true(config_find(c, "train.clip")->given);
    assert_false(config_find(c, "train.lr")->given);
    for (int i = 1; i < c->n; i++)
        assert_true(key_compare(c->entry[i - 1]->key, c->entry[i]->key) < 0);
}

static void shortest_reals(void **state) {
    (void)state;
    static const double x[] = {0.1, 1e-3, 1.0 / 3, 2.0 / 3, 1e300, 5e-324, 123456789, 0.1 + 0.2};
    static const char *const text[] = {"0.1",
                                       "0.001",
                                       "0.333333333333333",
                                       "0.6666666666666666",
                                       "1e+300",
                                       "4.94065645841247e-324",
                                       "123456789",
                                       "0.30000000000000004"};
    char out[32];
    for (int i = 0; i < 8; i++) {
        real_text(out, x[i]);
        assert_true(strtod(out, NULL) == x[i]);
        if (i != 2) assert_string_equal(out, text[i]);
    }
    real_text(out, -0.0);
    assert_string_equal(out, "0");
}

static void equal_settings_have_equal_ids(void **state) {
    (void)state;
    static const char *const same[][2] = {
        {"train.lr=1e-3", "train.lr=0.001"},       {"train.lr=1e-3", "train.lr=1.0e-3"},
        {"train.lr=1e-3", "train.shuffle=true"},   {"train.lr=1", "train.lr=1.0"},
        {"train.steps=1e4", "train.steps=10000"},  {"train.steps=0x10", "train.steps=16"},
        {"train.clip=.inf", "train.clip=.Inf"},    {"eval.lengths=8", "eval.lengths=[8]"},
        {"train.threads=1", "train.threads=8"},    {"train.note=~", "train.note=null"},
        {"model.dropout=-0.0", "model.dropout=0"}, {"recipe=wide", "recipe=wide"},
    };
    static const char *const different[][2] = {
        {"train.lr=1e-3", "train.lr=0.0010000000000000002"},
        {"train.seed=0", "train.seed=1"},
        {"train.note=null", "train.note='null'"},
        {"eval.lengths=[]", "eval.lengths=[1]"},
        {"eval.lengths=[1,2]", "eval.lengths=[2,1]"},
        {"model.mixer=cat", "model.mixer=mamba"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        const config *a = good(arena_printf(memory, "task.name=mqar %s", same[i][0]));
        const config *b = good(arena_printf(memory, "task.name=mqar %s", same[i][1]));
        assert_string_equal(a->id, b->id);
        assert_int_equal(strlen(a->id), 64);
    }
    for (size_t i = 0; i < sizeof different / sizeof *different; i++) {
        const config *a = good(arena_printf(memory, "task.name=mqar %s", different[i][0]));
        const config *b = good(arena_printf(memory, "task.name=mqar %s", different[i][1]));
        assert_string_not_equal(a->id, b->id);
    }
    /* Of the canonical text with schema 1, by sha256sum: a change here repeats every run. */
    assert_string_equal(good("task.name=nar task.length=64")->id,
                        "e48899606ecbc2d8841972b591e6761e47be1093d1a14fcedecf5708c3ef3911");
}

static void packs(void **state) {
    (void)state;
    const config *a = good("task.name=mqar train.lr=1e-3 train.seed=0");
    assert_string_equal(a->pack_key, good("task.name=mqar train.lr=1 train.seed=7")->pack_key);
    assert_string_not_equal(a->pack_key, good("task.name=mqar model.d_model=32")->pack_key);
    assert_string_not_equal(a->pack_key, good("task.name=mqar train.threads=2")->pack_key);
    assert_string_not_equal(a->pack_key, a->id);
}

static void wrong_values(void **state) {
    (void)state;
    refuses("task.name=mqar train.lr=abc", "train.lr must be a number from 0 to 10, not abc");
    refuses("task.name=mqar train.lr=11", "train.lr must be a number from 0 to 10, not 11");
    refuses("task.name=mqar train.lr=.nan", "train.lr must be a number from 0 to 10, not .nan");
    refuses("task.name=mqar train.lr='1'", "train.lr must be a number from 0 to 10, not '1'");
    refuses("task.name=mqar train.lr=[1]", "train.lr must be a number from 0 to 10, not a list");
    refuses("task.name=mqar train.lr=null", "train.lr must be a number from 0 to 10, not null");
    refuses("task.name=mqar train.lr=", "train.lr must be a number from 0 to 10, not empty");
    refuses("task.name=mqar train.clip=-1", "train.clip must be a number of at least 0, not -1");
    refuses("task.name=mqar train.clip=1e999",
            "train.clip must be a number of at least 0, not 1e999, which is too large for a "
            "double");
    refuses("task.name=mqar train.steps=1.5",
            "train.steps must be an integer from 1 to 1000000000000, not 1.5");
    refuses("task.name=mqar train.steps=99999999999999999999",
            "train.steps must be an integer from 1 to 1000000000000, not 99999999999999999999");
    refuses("task.name=mqar train.steps=010",
            "train.steps must be an integer from 1 to 1000000000000, not 010; 010 is text because "
            "of its leading zero; write it without, or quote it");
    refuses("task.name=mqar train.shuffle=yes",
            "train.shuffle must be true or false, not yes; yes is text in YAML 1.2; write true, or "
            "quote it");
    refuses("task.name=mqar train.shuffle=1", "train.shuffle must be true or false, not 1");
    refuses("task.name=mqar model.mixer=cat model.conv.kind=depthwize",
            "model.conv.kind must be one of scalar, depthwise, not depthwize; did you mean "
            "depthwise?");
    refuses("task.name=mqar model.mixer=cat model.conv.on=[q,w]",
            "model.conv.on must be a list out of q, k, v, not w");
    refuses("task.name=mqar model.mixer=cat model.conv.on=[q,q]", "model.conv.on names q twice");
    refuses("task.name=mqar eval.lengths=[8,9999]",
            "eval.lengths must be a list of integers from 1 to 4096, not 9999");
    refuses("task.name=mqar eval.lengths=null",
            "eval.lengths must be a list of integers from 1 to 4096, not null");
    refuses("task.name=mqar train.lr={a:1}", "train.lr takes a number from 0 to 10, not a map");
    refuses("task.name=mqar train.note=[a]", "train.note must be text, not a list");
    refuses("task.name=mqar train.lr=1,2",
            "1,2 is 2 values where one is meant; write [1,2] for a list");
    refuses("task.name=mqar train.lr", "a setting is written key=value");
}

static void doubt_is_a_warning_for_text(void **state) {
    (void)state;
    const config *c = resolved("task.name=mqar train.note=yes");
    assert_string_equal(config_get(c, "train.note"), "yes");
    assert_string_equal(toy_messages(memory, found),
                        "command line: train.note=yes: warning: train.note: yes is text in YAML "
                        "1.2; write true, or quote it\n");
}

static void wrong_keys(void **state) {
    (void)state;
    refuses("task.name=mqar task.lenght=8", "unknown key task.lenght; did you mean task.length?");
    refuses("task.name=mqar lr=8", "unknown key lr; did you mean train.lr?");
    refuses("task.name=mqar modle.mixer=cat", "unknown key modle.mixer; did you mean model.mixer?");
    refuses("task.name=mqar quite.unlike=8",
            "unknown key quite.unlike; mixgrid help config lists them");
    refuses("task.name=mqar model.conv=8",
            "model.conv is a group of settings, not a setting; give one of them, such as "
            "model.conv.width");
    refuses("task.name=mqar task.length.min=8",
            "unknown key task.length.min; task.length has no parts, it takes an integer from 4 to "
            "4096");
    refuses("task.name=mqar model.conv.width=8",
            "model.conv.width applies to mixer cat, not to attention; use \"when:\" to set it for "
            "cat only");
    refuses("task.name=mqar model.conv.kind=scalar",
            "model.conv.kind applies to mixers cat and mamba, not to attention; use \"when:\" to "
            "set it for those only");
    refuses("task.name=mqar task.n=2",
            "task.n applies to task nar, not to mqar; use \"when:\" to set it for nar only");
    refuses("task.name=mqar model.mixer=mamba model.conv.kind@cat=scalar",
            "model.conv.kind@cat applies to mixer cat, not to mamba; use \"when:\" to set it for "
            "cat only");
    refuses("task.name=mqar model.state@cat=3", "model.state@cat: mixer cat has no setting "
                                                "model.state");
    refuses("task.name=mqar model.state@cet=3",
            "model.state@cet: there is no variant cet that has model.state");
    refuses("task.name=mqar model.stat@cat=3", "unknown key model.stat; did you mean model.state?");
    refuses("task.name=mqar model.mixer=catt", "unknown mixer catt; did you mean cat?");
    refuses("task.name=mqar model.mixer=hyena",
            "unknown mixer hyena; known: attention, cat, mamba");
    refuses("task.name=mqar model.layers=[cat,mambo]", "unknown mixer mambo; did you mean mamba?");
    refuses("task.name=mqar model.layers=[cat,2]", "unknown mixer 2; known: attention, cat, mamba");
    refuses("task.name=mqar model.layers=true", "unknown mixer true; known: attention, cat, mamba");
    refuses("task.name=mqar recipe=wid", "unknown recipe wid; did you mean wide?");
}

static void missing_values(void **state) {
    (void)state;
    refuses("task.name=nar", "task.length is missing; task nar needs it: an integer from 4 to "
                             "4096");
    assert_null(resolved("train.lr=1"));
    assert_string_equal(toy_messages(memory, found),
                        "command line: error: task.name is missing; give text\n");
}

static void whole_cell_checks(void **state) {
    (void)state;
    good("task.name=nar task.length=8 task.n=2");
    refuses("task.name=nar task.length=8 task.n=3",
            "task.n is 3, but task.length 8 allows at most 2");
}

static void filled_settings(void **state) {
    (void)state;
    assert_string_equal(config_get(good("task.name=mqar train.seed=3"), "train.data_seed"), "3");
    assert_string_equal(
        config_get(good("task.name=mqar train.seed=3 train.data_seed=0"), "train.data_seed"), "0");
}

static void recipes(void **state) {
    (void)state;
    const config *c = good("task.name=mqar recipe=wide model.mixer=cat train.lr=1");
    assert_string_equal(config_get(c, "model.d_model"), "128");
    assert_string_equal(config_get(c, "model.conv.width"), "5");
    assert_string_equal(config_get(c, "train.lr"), "1"); /* the user's word counts more */
    assert_string_equal(c->id, good("task.name=mqar model.mixer=cat train.lr=1 model.d_model=128 "
                                    "model.conv.width=5")
                                   ->id);
    c = good("task.name=mqar recipe=wide"); /* attention has no conv.width */
    assert_null(config_get(c, "model.conv.width"));
    assert_string_equal(config_get(good("task.name=mqar recipe=gated"), "model.inner"), "256");
    assert_string_equal(good("task.name=mqar recipe=null")->id, good("task.name=mqar")->id);
}

static void hybrids(void **state) {
    (void)state;
    const config *c = good("task.name=mqar model.layers=[cat,mamba,cat]");
    assert_string_equal(config_get(c, "model.conv.kind@cat"), "scalar");
    assert_string_equal(config_get(c, "model.conv.kind@mamba"), "depthwise");
    assert_null(config_get(c, "model.conv.kind"));
    assert_string_equal(config_get(c, "model.conv.width"), "3");
    toy_cat cat = {0};
    toy_mamba mamba = {0};
    config_bind(&cat, c, "model", "cat", &toy_mixers[1].fields, memory);
    config_bind(&mamba, c, "model", "mamba", &toy_mixers[2].fields, memory);
    assert_int_equal(cat.kind, 0);
    assert_int_equal(mamba.kind, 1);

    c = good("task.name=mqar model.layers=[cat,mamba] model.conv.kind=scalar");
    assert_string_equal(config_get(c, "model.conv.kind"), "scalar");
    assert_null(config_get(c, "model.conv.kind@cat"));
    config_bind(&cat, c, "model", "cat", &toy_mixers[1].fields, memory);
    config_bind(&mamba, c, "model", "mamba", &toy_mixers[2].fields, memory);
    assert_int_equal(cat.kind, 0);
    assert_int_equal(mamba.kind, 2); /* "scalar" stands elsewhere in mamba's choices */
    const config *twin =
        good("task.name=mqar model.layers=[cat,mamba] model.conv.kind@mamba=scalar");
    assert_string_equal(twin->id, c->id);

    refuses("task.name=mqar model.layers=[cat,mamba] model.conv.kind=none",
            "model.conv.kind@cat must be one of scalar, depthwise, not none");
    c = good("task.name=mqar model.layers=[cat,mamba] model.conv.kind@mamba=none");
    assert_string_equal(config_get(c, "model.conv.kind@mamba"), "none");
    assert_string_equal(config_get(good("task.name=mqar model.mixer=cat model.conv.width@cat=9"),
                                   "model.conv.width"),
                        "9");
}

static void binding(void **state) {
    (void)state;
    const config *c = good("task.name=mqar model.mixer=cat model.layers=[cat,mamba] train.lr=0.5 "
                           "train.shuffle=false train.note=hi eval.lengths=[3,5] "
                           "eval.points=[.5] model.conv.on=[q,v] model.conv.kind=depthwise");
    toy_model model = {0};
    toy_train train = {0};
    toy_eval eval = {0};
    toy_cat cat = {0};
    config_bind(&model, c, "model", NULL, &toy_model_table, memory);
    config_bind(&train, c, "train", NULL, &toy_train_table, memory);
    config_bind(&eval, c, "eval", NULL, &toy_eval_table, memory);
    config_bind(&cat, c, "model", "cat", &toy_mixers[1].fields, memory);
    assert_string_equal(model.mixer, "cat");
    assert_int_equal(model.layers.n, 2);
    assert_string_equal(model.layers.v[1], "mamba");
    assert_int_equal(model.d_model, 64);
    assert_true(train.lr == 0.5 && train.clip == 1);
    assert_int_equal(train.steps, 100);
    assert_false(train.shuffle);
    assert_string_equal(train.note, "hi");
    assert_int_equal(eval.lengths.n, 2);
    assert_int_equal(eval.lengths.v[1], 5);
    assert_int_equal(eval.points.n, 1);
    assert_true(eval.points.v[0] == 0.5);
    assert_int_equal(cat.on, 5);
    assert_int_equal(cat.kind, 1);
    config_bind(&train, good("task.name=mqar"), "train", NULL, &toy_train_table, memory);
    assert_null(train.note);
}

static void json_round_trip(void **state) {
    (void)state;
    static const char *const cases[] = {
        "task.name=nar task.length=64",
        "task.name=mqar model.layers=[cat,mamba] eval.points=[0.1,1] train.clip=.inf",
        "task.name=mqar train.note='\xc3\xa9\"\\' train.threads=7 train.seed=5 recipe=gated",
        "task.name=mqar train.note=null model.mixer=cat model.conv.on=[]",
        "task.name=mqar train.note='null' train.lr=0.30000000000000004",
        "task.name=mqar train.note=\"a\\nb\\x01\\x7f\"",
        "task.name=mqar train.note=\"a\\N\\L\\P\\x80\\x9f\\uFEFF\\uFFFE\\uFFFFb\"", /* ends of lines
                                                                                       in YAML */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const config *c = good(cases[i]);
        for (int scope = 0; scope < 2; scope++) {
            const char *json = config_json(memory, c, (config_scope)scope);
            const config *back = config_from_json(memory, &toy, json, "run", found);
            assert_string_equal(toy_messages(memory, found), "");
            assert_string_equal(back->id, c->id);
            assert_string_equal(config_json(memory, back, (config_scope)scope), json);
            if (scope == CONFIG_ALL) assert_string_equal(back->pack_key, c->pack_key);
        }
    }
    assert_null(
        config_from_json(memory, &toy, "{\"task.name\":\"mqar\",\"task.pears\":3}", "run", found));
    assert_string_equal(toy_messages(memory, found),
                        "run:1:21: error: unknown key task.pears; did you mean task.pairs?\n");
    found = diag_new(memory);
    assert_null(config_from_json(memory, &toy, "{", "run", found));
    assert_null(config_from_json(memory, &toy, "3", "run", found));
    assert_int_equal(diag_errors(found), 2);
}

static void distances(void **state) {
    (void)state;
    assert_int_equal(edit_distance("lenght", "length", 2), 1);
    assert_int_equal(edit_distance("kitten", "sitting", 9), 3);
    assert_int_equal(edit_distance("kitten", "sitting", 2), 3);
    assert_int_equal(edit_distance("", "ab", 2), 2);
    assert_int_equal(edit_distance("same", "same", 2), 0);
    static const char *const names[] = {"train.lr", "train.wd", "model.conv.width"};
    assert_string_equal(suggest_name("lr", names, 3), "train.lr");
    assert_string_equal(suggest_name("train.dw", names, 3), "train.wd");
    assert_string_equal(suggest_name("model.conv", names, 3), "model.conv.width");
    assert_null(suggest_name("entirely", names, 3));
    const char *huge = arena_printf(memory, "%01000d", 1);
    assert_null(suggest_name(huge, names, 3));
}

static void help(void **state) {
    (void)state;
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    assert_non_null(out);
    config_help(out, "model", &toy_mixers[1].fields, 1);
    fclose(out);
    assert_string_equal(text, "NAME              DEFAULT    TAKES\n"
                              "model.heads       1          an integer from 1 to 64\n"
                              "    heads\n"
                              "model.conv.width  3          an integer from 1 to 64\n"
                              "    taps\n"
                              "model.conv.on     [q, k, v]  a list out of q, k, v\n"
                              "    what is convolved\n"
                              "model.conv.kind   scalar     one of scalar, depthwise\n"
                              "    kind of filter\n");
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(schema_is_sound, start, stop),
        cmocka_unit_test_setup_teardown(canonical_text, start, stop),
        cmocka_unit_test_setup_teardown(shortest_reals, start, stop),
        cmocka_unit_test_setup_teardown(equal_settings_have_equal_ids, start, stop),
        cmocka_unit_test_setup_teardown(packs, start, stop),
        cmocka_unit_test_setup_teardown(wrong_values, start, stop),
        cmocka_unit_test_setup_teardown(doubt_is_a_warning_for_text, start, stop),
        cmocka_unit_test_setup_teardown(wrong_keys, start, stop),
        cmocka_unit_test_setup_teardown(missing_values, start, stop),
        cmocka_unit_test_setup_teardown(whole_cell_checks, start, stop),
        cmocka_unit_test_setup_teardown(filled_settings, start, stop),
        cmocka_unit_test_setup_teardown(recipes, start, stop),
        cmocka_unit_test_setup_teardown(hybrids, start, stop),
        cmocka_unit_test_setup_teardown(binding, start, stop),
        cmocka_unit_test_setup_teardown(json_round_trip, start, stop),
        cmocka_unit_test_setup_teardown(distances, start, stop),
        cmocka_unit_test_setup_teardown(help, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
