/* journal.c - the writer; see journal.h. The reader is journal_read.c.
 *
 * A line is formed in memory and leaves in blocks of about 64 KB or at a flush, so that training
 * does not wait for the file system at each value. An advisory lock on the file keeps a second
 * worker off; it ends with the process, however that ends. */
#include "journal.h"

#include "clock.h"
#include "journal_read.h"
#include "jsontext.h"
#include "line_seal.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_BYTES = 1 << 16 };

const char *const run_state_name[N_RUN_STATE] = {"pending",  "running", "done",      "failed",
                                                 "diverged", "timeout", "preempted", "cancelled"};

struct journal {
    arena *arena;
    char *path;
    int fd;
    long attempt;
    jsontext text; /* lines not yet written */
    long start;    /* of the last of them */
    error failed;  /* the first write that failed */
    journal_past past;
};

journal_past journal_last(const journal *j) { return j->past; }

/* ---- opening ---------------------------------------------------------------------------------*/

/* Takes in a line that tells of attempts; others are left unparsed, as there are many. */
static void remember(journal_past *past, const char *line, size_t n) {
    enum { HEAD = 32 }; /* the type is the second field */
    char head[HEAD + 1] = "";
    memcpy(head, line, n < HEAD ? n : HEAD);
    const bool starts = strstr(head, "\"attempt\"") != NULL;
    if (!starts && !strstr(head, "\"end\"") && !strstr(head, "\"verdict\"")) return;
    json_t *object = json_loadb(line, n, JOURNAL_JSON, NULL);
    const char *state = json_string_value(json_object_get(object, "state"));
    if (object) past->attempt = (long)json_integer_value(json_object_get(object, "attempt"));
    if (starts) past->state = RUN_RUNNING;
    for (int i = 0; i < N_RUN_STATE && state; i++)
        if (!strcmp(state, run_state_name[i])) past->state = (run_state)i;
    json_decref(object);
}

/* Length of the file without a torn tail: a last line without a newline, or one that is no JSON
 * and has no checksum at its end. */
static off_t whole_length(journal *j, FILE *file, error *e) {
    char *line = NULL;
    size_t cap = 0;
    off_t end = 0, last = 0;
    ssize_t n;
    for (long number = 1; (n = getline(&line, &cap, file)) > 0 && line[n - 1] == '\n'; number++) {
        if (seal_check(line, n) == SEAL_WRONG)
            journal_refuse(e, j->path, number, true, "its checksum is another");
        last = end;
        end += n;
        remember(&j->past, line, (size_t)n);
    }
    if (end > last && fseeko(file, last, SEEK_SET) == 0 && (n = getline(&line, &cap, file)) > 0 &&
        seal_check(line, n) == SEAL_NONE) {
        json_t *object = json_loadb(line, (size_t)n, JOURNAL_JSON, NULL);
        if (!object) end = last;
        json_decref(object);
    }
    free(line);
    return end;
}

static status cut_torn_tail(journal *j, error *e) {
    FILE *file = fopen(j->path, "rbe");
    if (!file)
        return error_set(e, STATUS_ENVIRONMENT, "%s cannot be read: %s.", j->path, strerror(errno));
    off_t end = whole_length(j, file, e);
    bool unread = ferror(file);
    fclose(file);
    if (e->code) return e->code;
    struct stat info;
    if (unread || fstat(j->fd, &info) != 0)
        return error_set(e, STATUS_ENVIRONMENT, "%s cannot be read to its end.", j->path);
    if (end < info.st_size && ftruncate(j->fd, end) != 0)
        return error_set(e, STATUS_ENVIRONMENT,
                         "the unfinished last line of %s cannot be cut off: %s.", j->path,
                         strerror(errno));
    return STATUS_OK;
}

/* Without this a new file may be missing after a power loss although its content was synced. */
static void sync_folder(const char *folder) {
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

/* A lock that cannot be had for other reasons (a file system without any) stops nobody. */
static bool is_locked_out(int fd, bool waits) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int failed;
    do {
        failed = fcntl(fd, waits ? F_OFD_SETLKW : F_OFD_SETLK, &whole);
    } while (failed && waits && errno == EINTR);
    return failed && (errno == EAGAIN || errno == EACCES);
}

static status open_file(journal *j, const char *folder, bool waits, error *e) {
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return error_set(e, STATUS_ENVIRONMENT,
                         "the journal folder %s cannot be created: %s; create it or name another.",
                         folder, strerror(errno));
    j->fd = open(j->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (j->fd < 0)
        return error_set(e, STATUS_ENVIRONMENT, "the journal %s cannot be written: %s.", j->path,
                         strerror(errno));
    if (is_locked_out(j->fd, waits))
        return error_set(e, STATUS_ENVIRONMENT,
                         "the journal %s is being written by another process: this run is already "
                         "being trained; wait for it.",
                         j->path);
    if (cut_torn_tail(j, e) != STATUS_OK) return e->code;
    sync_folder(folder);
    return STATUS_OK;
}

static journal *open_named(const char *folder, const char *name, bool waits, error *e) {
    arena *a = arena_new();
    journal *j = ARENA_NEW(a, journal, 1);
    *j = (journal){.arena = a, .fd = -1, .text.arena = a};
    j->path = arena_printf(a, "%s/%s.jsonl", folder, name);
    if (open_file(j, folder, waits, e) == STATUS_OK) return j;
    if (j->fd >= 0) close(j->fd);
    arena_free(a);
    return NULL;
}

journal *journal_open(const char *folder, const char *run_id, error *e) {
    return open_named(folder, run_id, false, e);
}

journal *journal_open_shared(const char *folder, const char *name, error *e) {
    return open_named(folder, name, true, e);
}

/* ---- writing ---------------------------------------------------------------------------------*/

static void write_block(journal *j) {
    for (long done = 0; done < j->text.n && !j->failed.code;) {
        ssize_t n = write(j->fd, j->text.data + done, (size_t)(j->text.n - done));
        if (n >= 0)
            done += n;
        else if (errno != EINTR)
            error_set(&j->failed, STATUS_ENVIRONMENT,
                      "the journal %s could not be written: %s; what was written before is kept, "
                      "make room and run the same command again.",
                      j->path, strerror(errno));
    }
    j->text.n = 0;
}

status journal_flush(journal *j, bool durable, error *e) {
    write_block(j);
    if (durable && !j->failed.code && fsync(j->fd) != 0 && errno != EINVAL)
        error_set(&j->failed, STATUS_ENVIRONMENT, "the journal %s could not be synced to disk: %s.",
                  j->path, strerror(errno));
    return j->failed.code ? error_set(e, j->failed.code, "%s", j->failed.text) : STATUS_OK;
}

status journal_close(journal *j, error *e) {
    if (!j) return STATUS_OK;
    status result = journal_flush(j, true, e);
    if (close(j->fd) != 0 && result == STATUS_OK)
        result = error_set(e, STATUS_ENVIRONMENT, "the journal %s could not be closed: %s.",
                           j->path, strerror(errno));
    arena_free(j->arena);
    return result;
}

/* ---- lines -----------------------------------------------------------------------------------*/

static jsontext *line_begin(journal *j, const char *type) {
    j->start = j->text.n;
    jsontext_printf(&j->text, "{\"v\":%d,\"type\":\"%s\"", JOURNAL_VERSION, type);
    return &j->text;
}

static void line_end(journal *j) {
    seal_put(&j->text, j->start);
    if (j->text.n >= BLOCK_BYTES) write_block(j);
}

static void put_text(jsontext *t, const char *key, const char *value) {
    jsontext_key(t, key);
    jsontext_string(t, value ? value : "");
}

static void put_long(jsontext *t, const char *key, long value) {
    jsontext_key(t, key);
    jsontext_printf(t, "%ld", value);
}

static void put_real(jsontext *t, const char *key, double value) {
    jsontext_key(t, key);
    jsontext_number(t, value);
}

/* JSON made by others goes in unchanged but for its line breaks, which it has only between
 * tokens. */
static void put_object(jsontext *t, const char *key, const char *json) {
    jsontext_key(t, key);
    long start = t->n;
    jsontext_put(t, json ? json : "{}");
    for (char *c = t->data + start; *c; c++)
        if (*c == '\n' || *c == '\r') *c = ' ';
}

void journal_attempt(journal *j, const char *run_id, const char *config_json,
                     const char *environment_json, long attempt, long resumed_from,
                     double start_unix_s) {
    j->attempt = attempt;
    jsontext *t = line_begin(j, "attempt");
    put_text(t, "run", run_id);
    put_long(t, "attempt", attempt);
    put_long(t, "resumed_from", resumed_from);
    put_real(t, "start_s", start_unix_s);
    put_object(t, "config", config_json);
    put_object(t, "environment", environment_json);
    line_end(j);
}

void journal_model(journal *j, const model_facts *m) {
    jsontext *t = line_begin(j, "model");
    put_long(t, "params", m->params);
    put_real(t, "state_size", m->state_size);
    put_real(t, "forward_flops_per_token", m->forward_flops_per_token);
    put_real(t, "flops_per_token", m->flops_per_token);
    put_real(t, "mem_bytes", m->mem_bytes);
    line_end(j);
}

static jsontext *value_begin(journal *j, const char *type, const char *split, const char *slice,
                             const char *name) {
    jsontext *t = line_begin(j, type);
    put_text(t, "split", split);
    put_text(t, "slice", slice);
    put_text(t, "name", name);
    return t;
}

void journal_metric(journal *j, const char *split, const char *slice, const char *name, long step,
                    double value) {
    jsontext *t = value_begin(j, "metric", split, slice, name);
    put_long(t, "step", step);
    put_real(t, "value", value);
    line_end(j);
}

void journal_final(journal *j, const char *split, const char *slice, const char *name,
                   double value) {
    put_real(value_begin(j, "final", split, slice, name), "value", value);
    line_end(j);
}

void journal_hash(journal *j, long step, uint64_t hash) {
    jsontext *t = line_begin(j, "hash");
    put_long(t, "step", step);
    jsontext_key(t, "hash");
    jsontext_printf(t, "\"%016llx\"", (unsigned long long)hash);
    line_end(j);
}

void journal_event(journal *j, const char *what, const char *detail) {
    journal_event_at(j, clock_unix_s(), what, detail);
}

void journal_event_at(journal *j, double time_s, const char *what, const char *detail) {
    jsontext *t = line_begin(j, "event");
    put_real(t, "time_s", time_s);
    put_text(t, "what", what);
    put_text(t, "detail", detail);
    line_end(j);
}

void journal_artifact(journal *j, const char *path, const char *kind, long bytes,
                      const char *digest) {
    jsontext *t = line_begin(j, "artifact");
    put_text(t, "path", path);
    put_text(t, "kind", kind);
    put_long(t, "bytes", bytes);
    put_text(t, "sha256", digest);
    line_end(j);
}

void journal_end(journal *j, run_state state, long step, double wall_s, const char *message) {
    jsontext *t = line_begin(j, "end");
    put_long(t, "attempt", j->attempt);
    put_text(t, "state", run_state_name[state]);
    put_long(t, "step", step);
    put_real(t, "wall_s", wall_s);
    put_text(t, "message", message);
    line_end(j);
}

void journal_verdict(journal *j, const char *run_id, const char *config_json, long attempt,
                     run_state state, int exit_code, int signal_number, const char *message,
                     const char *log_tail) {
    jsontext *t = line_begin(j, "verdict");
    put_text(t, "run", run_id);
    put_long(t, "attempt", attempt);
    put_text(t, "state", run_state_name[state]);
    put_long(t, "exit_code", exit_code);
    put_long(t, "signal", signal_number);
    put_text(t, "message", message);
    put_text(t, "log_tail", log_tail);
    put_object(t, "config", config_json);
    line_end(j);
}

void journal_environment(journal *j, const char *digest, const char *environment_json) {
    jsontext *t = line_begin(j, "environment");
    put_text(t, "sha256", digest);
    put_object(t, "environment", environment_json);
    line_end(j);
}

void journal_bench(journal *j, double time_s, const char *name, const char *shape,
                   const char *backend, double value, const char *unit,
                   const char *environment_sha256) {
    jsontext *t = line_begin(j, "bench");
    put_real(t, "time_s", time_s);
    put_text(t, "name", name);
    put_text(t, "shape", shape);
    put_text(t, "backend", backend);
    put_real(t, "value", value);
    put_text(t, "unit", unit);
    put_text(t, "environment", environment_sha256);
    line_end(j);
}
