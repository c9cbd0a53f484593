/* emu_queue.c - see emu_queue.h. */
#include "emu_queue.h"

#include "emu_memory.h"
#include "kernels/core/backend.h"

#include <stdlib.h>

enum { MAX_WAITING = 4096 }; /* a GPU may run at any time, so it runs when this many wait */

struct job_list {
    job **at;
    size_t n, room;
};

static struct {
    job_list waiting;
    size_t first;      /* of those that wait */
    size_t n_finished; /* jobs that were removed from the list */
    size_t mark[N_MARK];
    job_list *recorded; /* NULL: nothing is being recorded */
    bool eager;
} queue = {.eager = true};

static void list_add(job_list *list, job *j) {
    if (list->n == list->room) {
        list->room = list->room ? 2 * list->room : 64;
        list->at = realloc(list->at, list->room * sizeof *list->at);
        if (!list->at) BUG("no memory for a queue of %zu jobs", list->room);
    }
    list->at[list->n++] = j;
}

/* Runs what was queued before the job of this number, counted from the start of the process. */
static void run_until(size_t number) {
    if (queue.n_finished + queue.first >= number) return;
    memory_unlock();
    while (queue.n_finished + queue.first < number) {
        job *j = queue.waiting.at[queue.first++];
        j->run(j);
        j->end(j);
    }
    memory_lock();
    if (queue.first < queue.waiting.n) return;
    queue.n_finished += queue.first;
    queue.first = queue.waiting.n = 0;
}

static size_t n_queued(void) { return queue.n_finished + queue.waiting.n; }

void queue_drain(void) { run_until(n_queued()); }

void queue_add(job *j) {
    list_add(queue.recorded ? queue.recorded : &queue.waiting, j);
    if (!queue.recorded && (queue.eager || queue.waiting.n >= MAX_WAITING)) queue_drain();
}

void queue_eager(bool on) {
    queue_drain();
    queue.eager = on;
}

void queue_mark(int i) {
    CHECK(i >= 0 && i < N_MARK);
    queue.mark[i] = n_queued();
}

void queue_await(int i) {
    CHECK(i >= 0 && i < N_MARK);
    run_until(queue.mark[i]);
}

/* ---- recordings ------------------------------------------------------------------------- */

job_list *queue_record_begin(void) {
    CHECK(!queue.recorded);
    queue.recorded = calloc(1, sizeof *queue.recorded);
    if (!queue.recorded) BUG("no memory for a recording");
    return queue.recorded;
}

void queue_record_end(void) { queue.recorded = NULL; }
bool queue_records(void) { return queue.recorded; }

typedef struct repetition {
    job queued;
    job_list *recorded;
} repetition;

static void repetition_run(job *j) {
    const job_list *list = ((repetition *)(void *)j)->recorded;
    for (size_t i = 0; i < list->n; i++) list->at[i]->run(list->at[i]);
}

static void repetition_end(job *j) { free(j); }

void queue_repeat(job_list *recorded) {
    repetition *r = malloc(sizeof *r);
    if (!r) BUG("no memory to repeat a recording");
    *r = (repetition){{repetition_run, repetition_end}, recorded};
    queue_add(&r->queued);
}

void queue_forget(job_list *recorded) {
    queue_drain();
    for (size_t i = 0; i < recorded->n; i++) recorded->at[i]->end(recorded->at[i]);
    free(recorded->at);
    free(recorded);
}
