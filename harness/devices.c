/* devices.c - see devices.h. */
#include "devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEVICES = 64 };
/* The rest is for what no plan knows: the context of each process, and other people's. */
static const double GPU_SHARE = 0.9;

static int find_listed(const device_info *all, int n, const char *word) {
    for (int i = 0; i < n; i++)
        if (!strcmp(all[i].id, word)) return i;
    char *end;
    const long index = strtol(word, &end, 10);
    return *word && !*end && index >= 0 && index < n ? (int)index : -1;
}

static status pick(device_set *out, arena *a, const char *name, const char *list,
                   const device_info *all, int n, error *e) {
    for (const char *at = list;; at++) {
        const size_t length = strcspn(at, ",");
        const char *word = arena_printf(a, "%.*s", (int)length, at);
        const int i = find_listed(all, n, word);
        if (i < 0)
            return error_set(e, STATUS_USAGE,
                             "device %s: there is no \"%s\"; this machine has %d of this kind, "
                             "named by numbers from 0 or by id: see mixgrid doctor.",
                             name, word, n);
        for (int k = 0; k < out->n; k++)
            if (!strcmp(out->info[k].id, all[i].id))
                return error_set(e, STATUS_USAGE, "device %s names %s twice.", name, word);
        out->info[out->n++] = all[i];
        at += length;
        if (!*at) return STATUS_OK;
    }
}

status devices_find(device_set *out, arena *a, const char *name, error *e) {
    const size_t kind = strcspn(name, ":");
    *out = (device_set){0};
    if (!(out->backend = backend_find(arena_printf(a, "%.*s", (int)kind, name), e))) return e->code;
    device_info *all = ARENA_NEW(a, device_info, MAX_DEVICES);
    const int n = out->backend->devices(all, MAX_DEVICES);
    if (n < 1)
        return error_set(e, STATUS_ENVIRONMENT,
                         "device %s: none is there; see mixgrid doctor, or use --device cpu.",
                         name);
    out->is_processor = !*all[0].id;
    if (out->is_processor && name[kind])
        return error_set(e, STATUS_USAGE,
                         "device %s: a processor is not numbered; use --device %.*s.", name,
                         (int)kind, name);
    out->info = all;
    out->n = n;
    if (!name[kind]) return STATUS_OK;
    out->info = ARENA_NEW(a, device_info, n);
    out->n = 0;
    return pick(out, a, name, name + kind + 1, all, n, e);
}

const char *device_id(const device_set *d, int i) { return d->is_processor ? NULL : d->info[i].id; }

const char *device_text(arena *a, const device_set *d, int i) {
    return d->is_processor ? NULL : arena_printf(a, "%s, %s", d->info[i].name, d->info[i].id);
}

const char *device_libraries(const device_set *d) {
    return d->backend->libraries ? d->backend->libraries() : NULL;
}

/* Bytes that processes can still get on this machine, or in this job of Slurm; very many where it
 * does not say. */
static double memory_available(void) {
    FILE *f = fopen("/proc/meminfo", "r");
    char line[128];
    double kib = 0;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %lf", &kib) == 1) break;
    if (f) fclose(f);
    const double free_bytes = kib > 0 ? kib * 1024 : 1e18; /* unknown: do not refuse */
    const char *job_mib = getenv("SLURM_MEM_PER_NODE");    /* Slurm kills what takes more */
    const double job_bytes = job_mib ? strtod(job_mib, NULL) * 0x1p20 : 0;
    return job_bytes > 0 && job_bytes < free_bytes ? job_bytes : free_bytes;
}

double device_room(const device_set *d, int i) {
    return d->is_processor ? memory_available() : GPU_SHARE * d->info[i].mem_free_bytes;
}
