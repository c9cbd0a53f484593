/* journal.h - the source of truth of a run: JSON lines, appended by the one worker that trains it.
 *
 * A worker process never opens the database. It appends to journal/<run id>.jsonl; the scheduler
 * imports journals into SQLite (store.h), and `mixgrid rebuild` can recreate the database from
 * them. A torn last line (power loss, SIGKILL) is ignored by the reader and cut off by the next
 * writer. Format, one object a line: {"v":2,"type":"...", ...,"crc":"9a0b1c2d"}; the last field is
 * a checksum (line_seal.h), without which a line is damaged. Lines of version 1 have none and are
 * read as well. See results/README.md. */
#pragma once
#include "kernels/core/error.h"

#include <stdint.h>

typedef struct journal journal;

/* The one journal that is no run's: measured speeds, of all databases beside the folder. */
#define JOURNAL_BENCH "bench"

enum { JOURNAL_VERSION = 2, JOURNAL_OLDEST = 1 }; /* written; still read */

/* How a run ended, or where it stands. Order and names are part of the database. */
typedef enum run_state {
    RUN_PENDING,
    RUN_RUNNING,
    RUN_DONE,
    RUN_FAILED,
    RUN_DIVERGED,
    RUN_TIMEOUT,
    RUN_PREEMPTED,
    RUN_CANCELLED,
    N_RUN_STATE
} run_state;
extern const char *const run_state_name[N_RUN_STATE]; /* "pending", "running", ... */

/* Is there nothing left to train? A diverged run is a result as well. */
static inline bool run_has_result(run_state s) { return s == RUN_DONE || s == RUN_DIVERGED; }

/* Opens for appending; creates the folder and the file, cuts a torn tail. NULL with an error when
 * that fails, a line has a wrong checksum, or another process is writing this journal. */
journal *journal_open(const char *folder, const char *run_id, error *e);
/* As journal_open, for a file that several processes append to: waits while another has it open. */
journal *journal_open_shared(const char *folder, const char *name, error *e);
/* The last attempt in the journal when it was opened; attempt 0: none. */
typedef struct journal_past {
    long attempt;
    run_state state; /* RUN_RUNNING: nothing says that it ended */
} journal_past;
journal_past journal_last(const journal *j);
/* Writes what is buffered; `durable` also waits for the disk. The functions below return nothing:
 * the first failed write (disk full, I/O error) stays, nothing is written behind it, and this
 * function returns it in one sentence from then on. */
status journal_flush(journal *j, bool durable, error *e);
status journal_close(journal *j, error *e); /* flush(durable) + close; j may be NULL */

/* Start of an attempt: config and environment are JSON objects as text, kept digit for digit. A
 * resumed attempt names the step it goes on from: the reader drops metrics and hashes of this run
 * with step > resumed_from, and all final values. Started from nothing: resumed_from = -1. */
void journal_attempt(journal *j, const char *run_id, const char *config_json,
                     const char *environment_json, long attempt, long resumed_from,
                     double start_unix_s);
/* Facts known once the model is built. */
typedef struct model_facts {
    long params;
    double state_size;                               /* numbers kept per sequence */
    double forward_flops_per_token, flops_per_token; /* the second: forward and backward */
    double mem_bytes;                                /* planned, of the run alone */
} model_facts;
void journal_model(journal *j, const model_facts *m);
/* One value. split: "train", "val", "test"; slice: "" (all), "length=256", "gap=8" ... */
void journal_metric(journal *j, const char *split, const char *slice, const char *name, long step,
                    double value);
/* The value that tables use, of the checkpoint chosen on val. */
void journal_final(journal *j, const char *split, const char *slice, const char *name,
                   double value);
/* A hash of all parameters, as 16 hex digits. */
void journal_hash(journal *j, long step, uint64_t hash);
void journal_event(journal *j, const char *what, const char *detail); /* it happens now */
void journal_event_at(journal *j, double time_s, const char *what, const char *detail);
/* A file the run left behind: kind "checkpoint", "weights" ...; sha256: 64 hex digits. */
void journal_artifact(journal *j, const char *path, const char *kind, long bytes,
                      const char *sha256);
/* End of an attempt. `message`: one sentence, or "". wall_s: seconds of this attempt. */
void journal_end(journal *j, run_state state, long step, double wall_s, const char *message);
/* Another's word on an attempt that could not end itself (store_run_fail). signal_number: 0 or the
 * signal that ended it. */
void journal_verdict(journal *j, const char *run_id, const char *config_json, long attempt,
                     run_state state, int exit_code, int signal_number, const char *message,
                     const char *log_tail);
/* Of JOURNAL_BENCH: surroundings, and a row of the table bench that names them by their hash. */
void journal_environment(journal *j, const char *digest, const char *environment_json);
void journal_bench(journal *j, double time_s, const char *name, const char *shape,
                   const char *backend, double value, const char *unit,
                   const char *environment_sha256);
