/* provenance.c - see provenance.h. Cost: one SHA-256 over the running binary, some milliseconds. */
#include "provenance.h"

#include "jsontext.h"
#include "sha256.h"
#include "version.h"
#include "version_diff.h"

#include <gnu/libc-version.h>
#include <locale.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

extern char **environ;

static void put_text(jsontext *t, const char *key, const char *value) {
    jsontext_key(t, key);
    jsontext_string(t, value);
}

/* "model name : X" of the first processor, NULL where the kernel does not say. */
static char *cpu_model(arena *a) {
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[512], *model = NULL;
    while (file && !model && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        line[strcspn(line, "\n")] = '\0';
        model = arena_text(a, colon + 1 + (colon[1] == ' '));
    }
    if (file) fclose(file);
    return model;
}

/* All tasks of an array are one job: their own numbers would make each another environment. */
static bool is_kept(const char *variable) {
    const char *job = getenv("SLURM_ARRAY_JOB_ID") ? "SLURM_ARRAY_JOB_ID=" : "SLURM_JOB_ID=";
    const char *const kept[] = {"OMP_",
                                "CUDA_VISIBLE_DEVICES=",
                                "CUDA_LAUNCH_BLOCKING=",
                                "CUBLAS_WORKSPACE_CONFIG=",
                                "NVIDIA_TF32_OVERRIDE=",
                                "GLIBC_TUNABLES=",
                                "LD_LIBRARY_PATH=",
                                "LANG=",
                                "LC_ALL=",
                                job};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (strncmp(variable, kept[i], strlen(kept[i])) == 0) return true;
    return false;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In order of name: the order of the environment is anybody's. */
static void put_variables(jsontext *t) {
    char **kept = NULL;
    int n = 0, cap = 0;
    for (char **variable = environ; *variable; variable++) {
        if (!is_kept(*variable)) continue;
        ARENA_GROW(t->arena, kept, n, cap);
        kept[n++] = *variable;
    }
    if (n) qsort(kept, (size_t)n, sizeof *kept, by_text);
    jsontext_key(t, "environment");
    jsontext_put(t, "{");
    for (int i = 0; i < n; i++) {
        char *name = arena_text(t->arena, kept[i]);
        name[strcspn(name, "=")] = '\0';
        put_text(t, name, kept[i] + strlen(name) + 1);
    }
    jsontext_put(t, "}");
}

/* How the sources differed from the commit when the binary was built; nulls when they did not. */
static void put_changes(jsontext *t) {
    const bool any = VERSION_DIFF_BYTES > 0;
    put_text(t, "diff_sha256", any ? VERSION_DIFF_SHA256 : NULL);
    jsontext_key(t, "diff_bytes");
    jsontext_printf(t, "%ld", VERSION_DIFF_BYTES);
    put_text(t, "diff", any ? (const char *)version_diff : NULL);
}

/* Of the program that runs; read once, as it is the same all the time. NULL without /proc. */
static const char *binary_hash(void) {
    static char hash[SHA256_HEX];
    error unread = {0};
    if (!*hash && sha256_file(hash, "/proc/self/exe", &unread)) *hash = '\0';
    return *hash ? hash : NULL;
}

char *provenance_json(arena *a, const char *backend, const char *instruction_set,
                      const char *device, const char *libraries) {
    struct utsname machine = {0};
    uname(&machine);

    jsontext t = {.arena = a};
    jsontext_put(&t, "{");
    put_text(&t, "version", VERSION_TEXT);
    put_text(&t, "commit", VERSION_COMMIT);
    jsontext_key(&t, "dirty");
    jsontext_put(&t, VERSION_DIRTY ? "true" : "false");
    put_changes(&t);
    put_text(&t, "binary_sha256", binary_hash());
    put_text(&t, "compiler", VERSION_COMPILER);
    put_text(&t, "flags", VERSION_FLAGS);
    put_text(&t, "sqlite", sqlite3_libversion());
    put_text(&t, "backend", backend);
    put_text(&t, "instruction_set", instruction_set);
    put_text(&t, "device", device);
    put_text(&t, "libraries", libraries);
    put_text(&t, "libc", arena_printf(a, "glibc %s", gnu_get_libc_version()));
    put_text(&t, "cpu", cpu_model(a));
    jsontext_key(&t, "processors");
    jsontext_printf(&t, "%ld", sysconf(_SC_NPROCESSORS_ONLN));
    put_text(&t, "kernel",
             arena_printf(a, "%s %s %s", machine.sysname, machine.release, machine.machine));
    put_text(&t, "host", machine.nodename);
    put_text(&t, "locale", setlocale(LC_ALL, NULL));
    put_variables(&t);
    jsontext_put(&t, "}");
    return t.data;
}
