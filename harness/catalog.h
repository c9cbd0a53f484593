/* catalog.h - the schema of all settings, made from the registries of tasks, mixers and ffns. */
#pragma once
#include "config.h"
#include "job.h"

/* The one schema of the program; built on first use. */
const schema *catalog_schema(void);

/* A job from cells with equal pack_key. Data are not opened and model.vocab is not known yet. */
void job_bind(job *out, arena *a, const config *const *cell, int n);

/* What a task is at the settings of a cell, without drawing its held-out sets. Cached: cells with
 * equal task settings are looked at once. NULL and one sentence where the settings cannot work. */
typedef struct task_facts {
    int time, vocab, max_time; /* T and V at the trained length; longest T with eval.lengths */
    int *time_at;              /* [eval.lengths.n] T at each */
    long train_count;          /* examples of the training set; 0: endless */
    long eval_tokens;          /* tokens of all evaluations after training, over all lengths */
    const char *data;          /* task_set.data */
} task_facts;
const task_facts *catalog_task_facts(const config *c, error *e);
