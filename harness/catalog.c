/* catalog.c - see catalog.h. */
#include "catalog.h"

#include "map.h"
#include "tasks/settings.h"

#include <string.h>

enum { MAX_OPTIONS = 128 };

static const char *const zoology[] = {
    "model.norm=layernorm",
    "model.ffn=none",
    "model.embed_dropout=0.1",
    "model.position=learned",
    "train.wd=0.1",
    "train.decay=all",
    "train.schedule=cosine",
    "train.schedule_by=epoch",
    "train.warmup=0",
    "train.beta2=0.999",
    "train.clip=0",
    "train.stop_at=0.99",
};
static const char *const llama[] = {
    "model.norm=rmsnorm",    "model.ffn=swiglu", "model.position=rope",  "train.beta1=0.9",
    "train.beta2=0.95",      "train.wd=0.1",     "train.decay=matrices", "train.warmup=0.1",
    "train.schedule=cosine", "train.min_lr=0",   "train.clip=1",
};
#define RECIPE(name, help)                                                                         \
    { #name, help, name, (int)(sizeof name / sizeof *name) }
static const schema_recipe recipes[] = {
    RECIPE(zoology,
           "the recall benchmark of Arora et al. 2023: no ffn, embedding dropout, decay on "
           "everything, cosine per epoch, early stop"),
    RECIPE(llama, "RMSNorm, SwiGLU, rotary positions, warm-up and cosine to zero, clipping"),
};

typedef struct task_choice {
    const char *name;
} task_choice;
static const field task_field[] = {
    {"name", FIELD_TEXT, offsetof(task_choice, name), NULL, .help = "which task"},
};

static const field_table task_table[] = {FIELD_TABLE(task_field)};
static const schema_section sections[] = {
    {"task", task_table, 1},
    {"model", &model_fields, 1},
    {"train", &train_fields, 1},
    {"eval", &eval_fields, 1},
};

static schema_option task_option[MAX_OPTIONS], mixer_option[MAX_OPTIONS], ffn_option[MAX_OPTIONS];
static schema_selector selectors[] = {
    {"task", "task.name", NULL, task_option, 0},
    {"mixer", "model.mixer", "model.mixers", mixer_option, 0},
    {"ffn", "model.ffn", NULL, ffn_option, 0},
};

/* A run without a data seed of its own takes the seed of its weights: then the spread over seeds
 * covers data as well, and models are compared on equal data at equal seeds. */
static void fill(draft *d) {
    const char *data_seed = draft_get(d, "train.data_seed"), *seed = draft_get(d, "train.seed");
    if (seed && data_seed && !strcmp(data_seed, "-1")) draft_set(d, "train.data_seed", seed);
}

/* The setting a sentence begins with, so that the error gets its place. */
static const char *key_in_sentence(const config *c, arena *a, const char *sentence) {
    const size_t n = strcspn(sentence, ": =;,");
    const char *key = arena_printf(a, "%.*s", (int)n, sentence);
    if (config_find(c, key)) return key;
    key = arena_printf(a, "task.%s", key);
    return config_find(c, key) ? key : "task.name";
}

static const char *check(const config *c, arena *a, const char **key) {
    job j;
    job_bind(&j, a, &c, 1);
    const char *sentence = model_check(&j.model);
    for (int i = 0; i < j.model.n_pattern && !sentence; i++) {
        const chosen_mixer *m = &j.model.pattern[i];
        if (m->mixer->check) sentence = m->mixer->check(m->config, &j.model.common);
    }
    if (!sentence && j.model.ffn->check)
        sentence = j.model.ffn->check(j.model.ffn_config, &j.model.common);
    error e = {0};
    if (!sentence && j.train.epochs > 0 && !j.train.examples && strcmp(j.task->name, "lm"))
        sentence = "train.epochs: needs a finite training set; set train.examples as well";
    if (!sentence && !catalog_task_facts(c, &e)) sentence = e.text;
    if (!sentence) return NULL;
    *key = key_in_sentence(c, a, sentence);
    return arena_text(a, sentence);
}

static schema the_schema = {
    .section = sections,
    .n_sections = sizeof sections / sizeof *sections,
    .selector = selectors,
    .n_selectors = sizeof selectors / sizeof *selectors,
    .recipe = recipes,
    .n_recipes = sizeof recipes / sizeof *recipes,
    .seed_key = "train.seed",
    .fill = fill,
    .check = check,
};

const schema *catalog_schema(void) {
    if (selectors[0].n) return &the_schema;
    CHECK(n_tasks <= MAX_OPTIONS && n_mixers <= MAX_OPTIONS && n_ffns <= MAX_OPTIONS);
    for (int i = 0; i < n_tasks; i++)
        task_option[i] = (schema_option){tasks[i]->name, tasks[i]->summary, tasks[i]->fields};
    for (int i = 0; i < n_mixers; i++)
        mixer_option[i] = (schema_option){mixers[i]->name, mixers[i]->summary, mixers[i]->fields};
    for (int i = 0; i < n_ffns; i++)
        ffn_option[i] = (schema_option){ffns[i]->name, ffns[i]->summary, ffns[i]->fields};
    selectors[0].n = n_tasks;
    selectors[1].n = n_mixers;
    selectors[2].n = n_ffns;
    schema_verify(&the_schema);
    return &the_schema;
}

static const void *bind_option(arena *a, const config *c, const char *section, const char *option,
                               const field_table *table, size_t size) {
    void *settings = arena_alloc(a, size);
    if (table->n) config_bind(settings, c, section, option, table, a);
    return settings;
}

static void bind_mixers(model_spec *out, arena *a, const config *c) {
    const text_list *list = &out->common.mixers;
    out->n_pattern = list->n ? list->n : 1;
    chosen_mixer *pattern = ARENA_NEW(a, chosen_mixer, out->n_pattern);
    for (int i = 0; i < out->n_pattern; i++) {
        const mixer *m = mixer_find(list->n ? list->v[i] : out->common.mixer);
        CHECK(m);
        pattern[i] =
            (chosen_mixer){m, bind_option(a, c, "model", m->name, &m->fields, m->config_size)};
    }
    out->pattern = pattern;
}

void job_bind(job *out, arena *a, const config *const *cell, int n) {
    const config *first = cell[0];
    *out = (job){.arena = a, .runs = n, .run = ARENA_NEW(a, job_run, n)};
    config_bind(&out->model.common, first, "model", NULL, &model_fields, a);
    config_bind(&out->train, first, "train", NULL, &train_fields, a);
    config_bind(&out->eval, first, "eval", NULL, &eval_fields, a);
    out->task = task_find(config_get(first, "task.name"));
    out->model.ffn = ffn_find(out->model.common.ffn);
    CHECK(out->task && out->model.ffn);
    out->task_config =
        bind_option(a, first, "task", out->task->name, &out->task->fields, out->task->config_size);
    out->model.batch = (int)out->train.batch;
    bind_mixers(&out->model, a, first);
    out->model.ffn_config = bind_option(a, first, "model", out->model.ffn->name,
                                        &out->model.ffn->fields, out->model.ffn->config_size);
    for (int i = 0; i < n; i++) {
        train_config train = {0};
        model_config common = {0};
        config_bind(&train, cell[i], "train", NULL, &train_fields, a);
        config_bind(&common, cell[i], "model", NULL, &model_fields, a);
        out->run[i] = (job_run){
            .run_id = cell[i]->id,
            .config_json = config_json(a, cell[i], CONFIG_IDENTITY),
            .seed = (uint64_t)train.seed,
            .data_seed = (uint64_t)train.data_seed,
            .lr = train.lr,
            .wd = train.wd,
            .dropout = common.dropout,
            .embed_dropout = common.embed_dropout,
            .init_scale = common.init_scale,
        };
    }
}

/* ---- facts about a task, cached by its settings ---- */

typedef struct known_task {
    task_facts facts;
    error error;
} known_task;

static const char *facts_key(arena *a, const config *c) {
    text_buffer key = {.arena = a};
    buffer_add(&key, "");
    for (int i = 0; i < c->n; i++) {
        const config_entry *entry = c->entry[i];
        if (strncmp(entry->key, "task.", 5) && strncmp(entry->key, "eval.", 5) &&
            strcmp(entry->key, "train.examples"))
            continue;
        buffer_add(&key, entry->key);
        buffer_add(&key, entry->value->json);
    }
    return key.text;
}

/* `which`: of eval.lengths; -1: the trained length. */
static status look_at(known_task *k, arena *a, const job *j, int which, error *e) {
    const long length = which < 0 ? 0 : j->eval.lengths.v[which];
    const task_options options = job_task_options(j, 0, length);
    task_set set = {.task = j->task, .arena = a};
    error bad = {0};
    set.config = settings_copy(a, j->task, j->task_config, length, &bad);
    if (set.config) j->task->open(&set, &options, &bad);
    if (bad.code && which >= 0)
        return error_set(e, bad.code, "eval.lengths: at %ld: %s", length, bad.text);
    if (bad.code) return error_set(e, bad.code, "%s", bad.text);
    task_facts *f = &k->facts;
    if (which >= 0) {
        f->time_at[which] = set.time;
    } else {
        f->time = set.time;
        f->data = set.data;
        f->vocab = set.vocab;
        f->train_count = set.count[SPLIT_TRAIN] ? (long)set.count[SPLIT_TRAIN] : j->train.examples;
    }
    if (set.time > f->max_time) f->max_time = set.time;
    const uint64_t opened = set.count[SPLIT_TEST],
                   held_out = opened ? opened : (uint64_t)options.test_count;
    f->eval_tokens += (long)held_out * set.time;
    return STATUS_OK;
}

const task_facts *catalog_task_facts(const config *c, error *e) {
    static map *known; /* lives as long as the program: a handful of entries, or a sweep of many */
    static arena *keep;
    if (!keep) {
        keep = arena_new();
        known = map_new(keep);
    }
    arena *scratch = arena_new();
    const char *key = facts_key(scratch, c);
    void **kept = map_text(known, key);
    known_task *k = *kept;
    if (!k) {
        *kept = k = ARENA_NEW(keep, known_task, 1);
        job j;
        job_bind(&j, scratch, &c, 1);
        k->facts.time_at = ARENA_NEW(keep, int, j.eval.lengths.n);
        status s = STATUS_OK;
        for (int i = -1; i < j.eval.lengths.n && !s; i++) s = look_at(k, keep, &j, i, &k->error);
    }
    arena_free(scratch);
    if (!k->error.code) return &k->facts;
    error_set(e, k->error.code, "%s", k->error.text);
    return NULL;
}
