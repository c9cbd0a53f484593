/* emu_queue.h - work in the order it was queued, as a CUDA stream does it: late, and repeatable.
 *
 * A GPU runs asynchronously, so the emulator runs as late as it may: when it is synchronised, when
 * a mark behind the work is awaited, and when data must reach the host. Host code that does not
 * wait long enough therefore sees old data, and host code that changes what is still to be read
 * changes results. After `queue_eager` everything runs at once. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Work: allocated by who queues it, run once or, recorded, often, then given to `end`. */
typedef struct job job;
struct job {
    void (*run)(job *);
    void (*end)(job *); /* frees it */
};

void queue_add(job *j);
void queue_eager(bool on);
void queue_drain(void);  /* until everything queued is done */
void queue_mark(int i);  /* i in 0..N_MARK-1 of backend.h */
void queue_await(int i); /* until what was queued before the mark is done */

/* Jobs added between begin and end go to the recording; queue_repeat queues all of them at once. */
typedef struct job_list job_list;
job_list *queue_record_begin(void);
void queue_record_end(void);
bool queue_records(void);
void queue_repeat(job_list *recorded);
void queue_forget(job_list *recorded);

#ifdef __cplusplus
}
#endif
