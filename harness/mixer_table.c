/* mixer_table.c - one row per mixer: parameters, state, operations of a layer, memory of a run.
 *
 * Nothing is trained: the tape of each mixer is built and planned. Sorted by name. */
#include "mixer_table.h"

#include "catalog.h"
#include "cli.h"
#include "report/table.h"
#include "trainer.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct asked {
    arena *arena;
    cli_texts settings; /* KEY=VALUE */
    long time, vocab;
    const backend *backend;
} asked;

typedef struct row {
    const mixer *mixer;
    model_cost layer; /* of the mixer of layer 0 */
    double mem_bytes; /* planned, of a whole model in training */
} row;

static bool has_field(const field_table *t, const char *name, size_t length) {
    for (int i = 0; i < t->n; i++)
        if (strlen(t->field[i].name) == length && !strncmp(t->field[i].name, name, length))
            return true;
    return false;
}

/* The ffn that the user names; NULL: none, or no such ffn. */
static const ffn *asked_ffn(const asked *q) {
    const char key[] = "model.ffn=";
    const ffn *f = NULL;
    for (int i = 0; i < q->settings.n; i++)
        if (!strncmp(q->settings.text[i], key, sizeof key - 1))
            f = ffn_find(q->settings.text[i] + sizeof key - 1);
    return f;
}

/* Not: a setting of other mixers, such as model.heads=4 for one without heads. */
static bool applies(const asked *q, const char *setting, const mixer *m) {
    const char section[] = "model.", *name = setting + sizeof section - 1;
    if (strncmp(setting, section, sizeof section - 1) != 0) return true;
    const size_t length = strcspn(name, "=");
    const ffn *f = asked_ffn(q);
    bool others = false;
    for (int i = 0; i < n_mixers; i++) others |= has_field(&mixers[i]->fields, name, length);
    return !others || has_field(&m->fields, name, length) ||
           (f && has_field(&f->fields, name, length));
}

/* The settings of the user with this mixer. They need a task, whose data is not looked at. */
static status bind(job *j, const asked *q, const mixer *m, error *e) {
    arena *a = q->arena;
    const char **setting = ARENA_NEW(a, const char *, q->settings.n + 2);
    int n = 0;
    setting[n++] = "task.name=nar";
    for (int i = 0; i < q->settings.n; i++)
        if (applies(q, q->settings.text[i], m)) setting[n++] = q->settings.text[i];
    setting[n++] = arena_printf(a, "model.mixer=%s", m->name);
    diag *d = diag_new(a);
    const config *c = config_from_settings(a, catalog_schema(), setting, n, d);
    if (!c) return diag_first(d, e);
    job_bind(j, a, &c, 1);
    j->model.vocab = (int)q->vocab;
    j->model.max_time = (int)q->time;
    return STATUS_OK;
}

static status measure(row *out, const asked *q, const mixer *m, error *e) {
    job j;
    memory_need need;
    *out = (row){.mixer = m};
    status s = bind(&j, q, m, e);
    if (!s) s = model_measure_mixer(&out->layer, &j.model, (int)q->time, e);
    if (!s) s = trainer_need(&need, &j, q->backend, (int)q->time, e);
    if (!s) out->mem_bytes = (double)(need.bytes + need.scratch);
    return s;
}

static void add_row(table *t, const row *r) {
    const double number[] = {(double)r->layer.params,
                             r->layer.state_size,
                             r->layer.state_size * (double)sizeof(float),
                             r->layer.forward_flops_per_token,
                             r->layer.flops_per_token,
                             r->mem_bytes};
    table_cell *cell = table_row_add(t);
    cell[0] = cell_text(r->mixer->name);
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        cell[1 + i] = cell_number(t->arena, number[i], arena_printf(t->arena, "%.0f", number[i]));
}

static table *table_of(const asked *q, error *e) {
    table *t = table_new(q->arena, "mixers", "Mixers");
    static const char *const column[][2] = {
        {"parameters", "params"},
        {"state", "state_size"},
        {"state, bytes", "state_bytes"},
        {"flops forward", "forward_flops_per_token"},
        {"with backward", "flops_per_token"},
        {"planned bytes", "mem_bytes"},
    };
    table_column_add(t, "mixer", "mixer", CELL_TEXT);
    for (size_t i = 0; i < sizeof column / sizeof *column; i++)
        table_column_add(t, column[i][0], column[i][1], CELL_NUMBER);
    t->caption = arena_printf(
        q->arena,
        "One layer of each mixer: trained numbers, numbers and bytes (float) kept per sequence "
        "after %ld tokens, operations per token; planned bytes: training of the whole model alone, "
        "with %ld tokens per sequence, %ld words, on %s.",
        q->time, q->time, q->vocab, q->backend->name);
    error *why = ARENA_NEW(q->arena, error, n_mixers); /* a mixer refuses the settings */
    memset(why, 0, (size_t)n_mixers * sizeof *why);
    for (int i = 0; i < n_mixers; i++) {
        row r;
        if (!measure(&r, q, mixers[i], &why[i])) add_row(t, &r);
    }
    if (!t->n_row) {
        error_set(e, why[0].code, "%s", why[0].text);
        return NULL;
    }
    for (int i = 0; i < n_mixers; i++)
        if (why[i].code)
            fprintf(stderr, "mixgrid: %s is left out: %s\n", mixers[i]->name, why[i].text);
    return t;
}

static void print_summaries(void) {
    printf("\n");
    for (int i = 0; i < n_mixers; i++)
        printf("%-14s %s (%s)\n", mixers[i]->name, mixers[i]->summary, mixers[i]->source);
    for (int i = 0; i < n_ffns; i++) printf("ffn %-10s %s\n", ffns[i]->name, ffns[i]->summary);
}

static const struct {
    const char *name;
    table_format format;
} formats[] = {{"table", TABLE_TERMINAL}, {"md", TABLE_MARKDOWN}, {"csv", TABLE_CSV}};
enum { N_FORMAT = sizeof formats / sizeof *formats };

status command_mixers(int argc, char **argv, error *e) {
    asked q = {.arena = arena_new(), .time = 256, .vocab = 256};
    const char *format = "table", *device = "cpu";
    const cli_option options[] = {
        {"time", CLI_COUNT, &q.time, "T", "tokens per sequence (default 256)"},
        {"vocab", CLI_COUNT, &q.vocab, "V", "words of the embedding (default 256)"},
        {"device", CLI_TEXT, &device, "NAME", "whose memory is planned (default cpu)"},
        {"format", CLI_TEXT, &format, "FORMAT", "table, md or csv"},
    };
    status s = CLI_PARSE(q.arena, argc, argv, options, &q.settings, e);
    int f = 0;
    while (f < N_FORMAT && strcmp(formats[f].name, format)) f++;
    if (!s && f == N_FORMAT)
        s = error_set(e, STATUS_USAGE, "--format is table, md or csv, not %s.", format);
    if (!s && (q.time > 1 << 24 || q.vocab > 1 << 24))
        s = error_set(e, STATUS_USAGE, "--time and --vocab are at most %d.", 1 << 24);
    if (!s && !(q.backend = backend_find(device, e))) s = e->code;
    table *t = s ? NULL : table_of(&q, e);
    if (t) {
        text out = text_new(q.arena);
        table_render(&out, t, formats[f].format, cli_has_color(STDOUT_FILENO));
        fputs(out.s, stdout);
        if (formats[f].format == TABLE_TERMINAL) print_summaries();
    }
    s = e->code;
    arena_free(q.arena);
    return s;
}
