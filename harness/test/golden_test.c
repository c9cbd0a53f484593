/* golden_test.c - logits and gradients of every mixer against independent PyTorch code, whose
 * weights, tokens and results are the folders in models/test/golden (see make.py there). The models
 * there run as recurrences: what agrees with them agrees with the step-by-step form, too. A mixer,
 * an ffn or a choice of a setting without a golden fails here, so that none is forgotten. */
#include "harness/cli.h"
#include "harness/safetensors.h"
#include "models/model.h"
#include "tasks/npy.h"

#include "folder_fixture.h"

#include <dirent.h>
// cmocka needs these four before it
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// and is last
#include <cmocka.h>
#include <math.h>

#define GOLDEN "models/test/golden"
enum { MAX_GOLDEN = 200, MAX_SETTINGS = 12, VALUE_CHARS = 32 };

typedef struct limits {
    const char *device;
    double logits, grads; /* largest difference allowed, over the largest element */
} limits;

/* Double leaves only the order of summation; the limits in float are the promise to users. */
static const limits f64 = {"f64", 1e-12, 1e-11}, cpu = {"cpu", 1e-4, 1e-3};

static folder scratch; /* what probe writes */
static char name_text[MAX_GOLDEN][64];
static const char *name[MAX_GOLDEN];
static int n_golden;

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int find_goldens(void **state) {
    (void)state;
    scratch = folder_new();
    DIR *d = opendir(GOLDEN);
    if (!d) return -1;
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        char path[512];
        snprintf(path, sizeof path, GOLDEN "/%s/settings", entry->d_name);
        if (access(path, R_OK)) continue;
        CHECK(n_golden < MAX_GOLDEN);
        snprintf(name_text[n_golden], sizeof *name_text, "%.60s", entry->d_name);
        name[n_golden] = name_text[n_golden];
        n_golden++;
    }
    closedir(d);
    qsort(name, (size_t)n_golden, sizeof *name, by_name);
    return 0;
}

static int remove_scratch(void **state) {
    (void)state;
    folder_remove(&scratch);
    return 0;
}

static const char *golden_at(const char *golden, const char *file) {
    return arena_printf(scratch.arena, GOLDEN "/%s/%s", golden, file);
}

static void quiet(bool on) {
    static int kept;
    fflush(stdout);
    if (on) kept = dup(STDOUT_FILENO);
    const int to = on ? open("/dev/null", O_WRONLY) : kept;
    CHECK(to >= 0 && dup2(to, STDOUT_FILENO) >= 0);
    close(to);
}

/* mixgrid probe on the golden's tokens; weights NULL: the golden's; `more`: one setting above the
 * golden's own, or NULL. */
static void probe(const char *golden, const char *device, const char *weights, const char *more) {
    char text[MAX_SETTINGS][128];
    const char *argv[2 * MAX_SETTINGS + 16] = {"probe",
                                               "--device",
                                               device,
                                               "--tokens",
                                               golden_at(golden, "tokens.npy"),
                                               "--weights",
                                               weights ? weights
                                                       : golden_at(golden, "weights.safetensors"),
                                               "--logits",
                                               folder_at(&scratch, "logits.npy"),
                                               "--grads",
                                               folder_at(&scratch, "grads.safetensors")};
    int n = 11;
    FILE *f = fopen(golden_at(golden, "settings"), "r");
    assert_non_null(f);
    for (int i = 0; fgets(text[i], sizeof *text, f); n += 2) {
        text[i][strcspn(text[i], "\n")] = '\0';
        argv[n] = "--set";
        argv[n + 1] = text[i];
        CHECK(++i < MAX_SETTINGS);
    }
    fclose(f);
    if (more) {
        argv[n++] = "--set";
        argv[n++] = more;
    }
    error e = {0};
    quiet(true); /* it prints a line, here thousands of them */
    command_probe(n, (char **)argv, &e);
    quiet(false);
    if (e.code) fail_msg("%s on %s: %s", golden, device, e.text);
}

/* Numbers of an npy file or a stored tensor, F32 or F64, as doubles. */
static const double *as_doubles(const void *data, bool is_double, long n) {
    double *values = ARENA_NEW(scratch.arena, double, n);
    for (long i = 0; i < n; i++) {
        float single;
        if (is_double) {
            memcpy(&values[i], (const char *)data + i * (long)sizeof *values, sizeof *values);
        } else {
            memcpy(&single, (const char *)data + i * (long)sizeof single, sizeof single);
            values[i] = (double)single;
        }
    }
    return values;
}

static double largest_of(const double *x, long n) {
    double most = 0;
    for (long i = 0; i < n; i++) most = fmax(most, fabs(x[i]));
    return most;
}

typedef struct difference {
    double most; /* |ours - golden| / scale where it is largest; not a number counts as largest */
    char text[256]; /* that place: tensor, element, both values */
} difference;

static void compare(difference *d, const char *label, const double *ours, const double *golden,
                    long n, double scale) {
    for (long i = 0; i < n; i++) {
        const double off = fabs(ours[i] - golden[i]) / scale;
        if (off <= d->most) continue;
        d->most = isnan(off) ? HUGE_VAL : off;
        snprintf(d->text, sizeof d->text, "%s[%ld] is %.12g, the golden says %.12g", label, i,
                 ours[i], golden[i]);
    }
}

static void compare_logits(difference *d, const char *golden) {
    error e = {0};
    const npy *ours = npy_read(scratch.arena, folder_at(&scratch, "logits.npy"), &e);
    if (!ours) fail_msg("%s: %s", golden, e.text);
    const npy *want = npy_read(scratch.arena, golden_at(golden, "logits.npy"), &e);
    if (!want) fail_msg("%s: %s", golden, e.text);
    const long n = npy_count(want);
    assert_int_equal(npy_count(ours), n);
    assert_int_equal(want->type, NPY_FLOAT64);
    const double *values = as_doubles(ours->data, ours->type == NPY_FLOAT64, n);
    compare(d, "logits", values, want->data, n, largest_of(want->data, n));
}

/* Each tensor is measured by its own largest element, but by no less than a thousandth of the
 * largest gradient of all: the gradient of a bias of keys, for one, is zero but for rounding. */
static void compare_grads(difference *d, const char *golden) {
    stored_file ours, want;
    error e = {0};
    if (safetensors_read(&ours, scratch.arena, folder_at(&scratch, "grads.safetensors"), &e) ||
        safetensors_read(&want, scratch.arena, golden_at(golden, "grads.safetensors"), &e))
        fail_msg("%s: %s", golden, e.text);
    assert_true(want.n_tensors > 0);
    assert_int_equal(ours.n_tensors, want.n_tensors);
    double floor = 0;
    for (int i = 0; i < want.n_tensors; i++)
        floor = fmax(floor, 1e-3 * largest_of(want.tensor[i].data,
                                              (long)(want.tensor[i].bytes / sizeof(double))));
    for (int i = 0; i < want.n_tensors; i++) {
        const stored_tensor *w = &want.tensor[i], *o = stored_find(&ours, w->name);
        const long n = (long)(w->bytes / sizeof(double));
        if (!o) fail_msg("%s: there is no gradient of %s", golden, w->name);
        assert_string_equal(w->dtype, "F64");
        const bool is_double = !strcmp(o->dtype, "F64");
        assert_int_equal(o->bytes, (size_t)n * (is_double ? sizeof(double) : sizeof(float)));
        const double *want_values = as_doubles(w->data, true, n);
        compare(d, w->name, as_doubles(o->data, is_double, n), want_values, n,
                fmax(floor, largest_of(want_values, n)));
    }
}

static void check_all(const limits *limit) {
    int failed = 0;
    assert_true(n_golden > 0);
    for (int i = 0; i < n_golden; i++) {
        difference logits = {0}, grads = {0};
        probe(name[i], limit->device, NULL, NULL);
        compare_logits(&logits, name[i]);
        compare_grads(&grads, name[i]);
        print_message("%-4s %-24s logits differ by %.1e, gradients by %.1e\n", limit->device,
                      name[i], logits.most, grads.most);
        if (logits.most > limit->logits) failed++, print_error("%s: %s\n", name[i], logits.text);
        if (grads.most > limit->grads) failed++, print_error("%s: %s\n", name[i], grads.text);
    }
    assert_int_equal(failed, 0);
}

static void test_double_agrees(void **state) {
    (void)state;
    check_all(&f64);
}

static void test_float_agrees(void **state) {
    (void)state;
    check_all(&cpu);
}

/* The settings of all goldens but those that use `without` (NULL: of all), a line each between
 * newlines. */
static const char *all_settings(const char *without) {
    const char *all = "\n";
    for (int i = 0; i < n_golden; i++) {
        char text[1024];
        FILE *f = fopen(golden_at(name[i], "settings"), "r");
        assert_non_null(f);
        const size_t n = fread(text, 1, sizeof text - 1, f);
        fclose(f);
        text[n] = '\0';
        if (!without || !strstr(text, without))
            all = arena_printf(scratch.arena, "%s%s", all, text);
    }
    return all;
}

/* Some golden has KEY=VALUE, or VALUE in its list KEY. */
static bool is_set(const char *settings, const char *key, const char *value) {
    const char *start = arena_printf(scratch.arena, "\nmodel.%s=", key);
    const size_t n = strlen(value);
    for (const char *at = settings; (at = strstr(at, start)) != NULL;) {
        at += strlen(start);
        const char *end = at + strcspn(at, "\n");
        while (at < end) {
            at += *at == '[';
            const size_t word = strcspn(at, ",]\n");
            if (word == n && !memcmp(at, value, n)) return true;
            at += word + (at[word] != '\n');
        }
    }
    return false;
}

static const char *no_golden(const char *key, const char *value) {
    return arena_printf(scratch.arena,
                        "No golden has model.%s: %s; write it in models/test/golden, add a line to "
                        "cases.py there and run make.py.",
                        key, value);
}

/* Of the choices of a table's settings, starts of parameters aside, which do not change the model.
 * A default needs no line. */
static const char *missing_choice(const char *settings, field_table table) {
    for (int i = 0; i < table.n; i++) {
        const field *f = &table.field[i];
        const size_t n = strlen(f->name);
        const bool is_start = n >= 4 && !strcmp(f->name + n - 4, "init");
        if ((f->type != FIELD_CHOICE && f->type != FIELD_SET) || is_start) continue;
        for (const char *at = f->choices; *at; at += *at == '|') {
            const int word = (int)strcspn(at, "|");
            const char *value = arena_printf(scratch.arena, "%.*s", word, at);
            if (strcmp(value, f->value) && !is_set(settings, f->name, value))
                return no_golden(f->name, value);
            at += word;
        }
    }
    return NULL;
}

/* The first gap in what these settings cover: one sentence, or NULL. */
static const char *missing_golden(const char *settings) {
    for (int i = 0; i < n_mixers; i++)
        if (!is_set(settings, "mixer", mixers[i]->name)) return no_golden("mixer", mixers[i]->name);
    for (int i = 0; i < n_ffns; i++)
        if (ffns[i]->build && !is_set(settings, "ffn", ffns[i]->name))
            return no_golden("ffn", ffns[i]->name);
    const char *gap = missing_choice(settings, model_fields);
    for (int i = 0; i < n_mixers && !gap; i++) gap = missing_choice(settings, mixers[i]->fields);
    for (int i = 0; i < n_ffns && !gap; i++) gap = missing_choice(settings, ffns[i]->fields);
    return gap;
}

static void test_nothing_is_forgotten(void **state) {
    (void)state;
    const char *gap = missing_golden(all_settings(NULL));
    if (gap) fail_msg("%s", gap);
}

/* Without the goldens of any one thing, that thing is what is said to be missing. */
static void test_gaps_are_found(void **state) {
    (void)state;
    static const char *const planted[][2] = {
        {"model.mixer=performer\n", "model.mixer: performer"},
        {"model.mixer=mamba\n", "model.mixer: mamba;"},
        {"model.ffn=moe\n", "model.ffn: moe"},
        {"model.linear=bit158\n", "model.linear: bit158"},
        {"model.conv.kind=mixhead\n", "model.conv.kind: mixhead"},
        {"model.conv_kind=dynamic_head\n", "model.conv_kind: dynamic_head"},
        {"model.after_linear=ssm\n", "model.after_linear: ssm"},
        {"model.select=soft\n", "model.select: soft"},
    };
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++) {
        const char *gap = missing_golden(all_settings(planted[i][0]));
        if (!gap || !strstr(gap, planted[i][1]))
            fail_msg("without goldens of %s: %s", planted[i][1], gap ? gap : "nothing is missed");
    }
}

static double differs(const char *golden) {
    difference logits = {0}, grads = {0};
    compare_logits(&logits, golden);
    compare_grads(&grads, golden);
    return fmax(logits.most, grads.most);
}

/* A bias of keys adds the same to all scores of a query. */
static bool is_without_effect(const char *parameter) { return strstr(parameter, ".wk.bias"); }

/* The comparison finds a model that differs from the golden by one option. */
static void test_other_options_are_found(void **state) {
    (void)state;
    static const char *const fault[][2] = {
        {"attention", "model.window=8"},
        {"attention", "model.mixer=linear"},
        {"attention-alibi", "model.position=none"},
        {"attention-window", "model.window=5"},
        {"attention-rope", "model.position=none"},
        {"cat-heads", "model.conv.dilation=2"},
        {"cat-depthwise", "model.conv.residual=false"},
        {"cat-depthwise", "model.conv.activation=none"},
        {"cat-pre", "model.qk_norm=none"},
        {"cat-pre", "model.conv.place=post"},
        {"linear", "model.mixer=attention"},
        {"linear-heads", "model.heads=2"},
        {"rwkv6-heads", "model.heads=1"},
        {"hyena-length", "model.filter_length=21"},
        {"convsamba-rope", "model.rope=false"},
        {"convsamba-rope", "model.dilation_period=1"},
        {"hybrid", "model.heads@attention=2"},
        {"acmix-window", "model.window=6"},
        {"attention-grouped", "model.position=none"},
        {"performer-heads", "model.eps=0"},
        {"convplus-blend", "model.offsets=[1,3]"},
        {"lcat-hard", "model.top_k=2"},
        {"lcat-hard", "model.straight_through=false"},
        {"lcat-soft", "model.select=hard"},
        {"lcat-top", "model.position=none"},
        {"moe", "model.aux_loss=0"},
        {"moe", "model.top_k=1"},
        {"bit158", "model.linear=plain"},
        {"cat-lowrank", "model.conv.residual=false"},
        {"cat-softmax", "model.conv.dilation=2"},
        {"after-softmax", "model.linear_conv.dilation=1"},
    };
    for (size_t i = 0; i < sizeof fault / sizeof *fault; i++) {
        probe(fault[i][0], cpu.device, NULL, fault[i][1]);
        const double off = differs(fault[i][0]);
        if (off <= cpu.grads)
            fail_msg("%s with %s passes: differs by %g", fault[i][0], fault[i][1], off);
    }
}

/* Half the numbers of one parameter further from 0 by a thousandth show, whichever parameter it is:
 * of matrices with three values, too, where only the mean size of all numbers matters. */
static void check_parameters(const char *golden) {
    stored_file f;
    error e = {0};
    const char *changed = folder_at(&scratch, "changed.safetensors");
    if (safetensors_read(&f, scratch.arena, golden_at(golden, "weights.safetensors"), &e))
        fail_msg("%s: %s", golden, e.text);
    for (int i = 0; i < f.n_tensors; i++) {
        if (is_without_effect(f.tensor[i].name)) continue;
        const void *before = f.tensor[i].data;
        float *after = arena_alloc(scratch.arena, f.tensor[i].bytes);
        memcpy(after, before, f.tensor[i].bytes);
        for (size_t k = 0; k < f.tensor[i].bytes / sizeof *after; k += 2)
            after[k] += copysignf(1e-3F, after[k]);
        f.tensor[i].data = after;
        if (safetensors_write(changed, &f, &e)) fail_msg("%s", e.text);
        probe(golden, f64.device, changed, NULL);
        const double off = differs(golden);
        if (off <= 1e4 * f64.grads)
            fail_msg("%s with another %s passes: differs by %g", golden, f.tensor[i].name, off);
        f.tensor[i].data = before;
    }
}

static void test_other_weights_are_found(void **state) {
    (void)state;
    for (int i = 0; i < n_golden; i++) check_parameters(name[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_forgotten),
        cmocka_unit_test(test_gaps_are_found),
        cmocka_unit_test(test_double_agrees),
        cmocka_unit_test(test_float_agrees),
        cmocka_unit_test(test_other_options_are_found),
        cmocka_unit_test(test_other_weights_are_found),
    };
    return cmocka_run_group_tests(tests, find_goldens, remove_scratch);
}
