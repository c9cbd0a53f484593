/* npy.c - see npy.h. The header is a Python dict literal; its reader takes what NumPy writes, with
 * keys in any order and spaces anywhere, and nothing else. */
#include "tasks/npy.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *descr;
    long bytes;
} types[] = {
    [NPY_INT32] = {"'<i4'", 4}, [NPY_FLOAT32] = {"'<f4'", 4}, [NPY_FLOAT64] = {"'<f8'", 8}};
enum { N_TYPE = sizeof types / sizeof *types, MAX_HEADER = 1 << 16 };

static const char magic[6] = "\x93NUMPY";

long npy_count(const npy *x) {
    long count = 1;
    for (int i = 0; i < x->n_dims; i++) count *= x->dim[i];
    return count;
}

/* The header of version 1.0, padded so that data starts at a multiple of 64 bytes. */
static char *header_text(arena *a, const npy *x, size_t *n) {
    const char *shape = "";
    for (int i = 0; i < x->n_dims; i++)
        shape = arena_printf(a, "%s%ld%s", shape, x->dim[i],
                             x->n_dims == 1      ? ","
                             : i + 1 < x->n_dims ? ", "
                                                 : "");
    const char *dict = arena_printf(a, "{'descr': %s, 'fortran_order': False, 'shape': (%s), }",
                                    types[x->type].descr, shape);
    size_t prefix = sizeof magic + 4, total = (prefix + strlen(dict) + 1 + 63) / 64 * 64;
    char *text = arena_alloc(a, total);
    memset(text, ' ', total);
    memcpy(text, magic, sizeof magic);
    text[6] = 1, text[7] = 0;
    text[8] = (char)((total - prefix) & 0xff), text[9] = (char)((total - prefix) >> 8);
    memcpy(text + prefix, dict, strlen(dict));
    text[total - 1] = '\n';
    *n = total;
    return text;
}

status npy_write(const char *path, const npy *x, error *e) {
    arena *a = arena_new();
    size_t header_bytes, data_bytes = (size_t)npy_count(x) * (size_t)types[x->type].bytes;
    const char *header = header_text(a, x, &header_bytes);
    const char *part = arena_printf(a, "%s.%ld.part", path, (long)getpid());
    FILE *file = fopen(part, "wb");
    bool good = file && fwrite(header, 1, header_bytes, file) == header_bytes &&
                fwrite(x->data, 1, data_bytes, file) == data_bytes;
    int cause = errno;
    if (file && fclose(file) && good) good = false, cause = errno;
    if (good && rename(part, path)) good = false, cause = errno;
    if (!good) {
        error_set(e, STATUS_ENVIRONMENT,
                  "cannot write %s: %s; check that the folder exists, may be written to and has "
                  "%zu bytes free.",
                  path, strerror(cause), header_bytes + data_bytes);
        if (file) remove(part);
    }
    arena_free(a);
    return good ? STATUS_OK : e->code;
}

/* A cursor over the header. Every reader returns false when the text differs. */
static void skip_spaces(const char **p) {
    while (isspace((unsigned char)**p)) (*p)++;
}

static bool take(const char **p, const char *word) {
    skip_spaces(p);
    size_t n = strlen(word);
    if (strncmp(*p, word, n)) return false;
    *p += n;
    return true;
}

static bool take_key(const char **p, const char *name) { return take(p, name) && take(p, ":"); }

static bool take_shape(const char **p, npy *x) {
    if (!take(p, "(")) return false;
    for (x->n_dims = 0; !take(p, ")");) {
        char *end;
        skip_spaces(p);
        if (!isdigit((unsigned char)**p) || x->n_dims == NPY_MAX_DIMS) return false;
        errno = 0;
        x->dim[x->n_dims++] = strtol(*p, &end, 10);
        if (errno) return false;
        *p = end;
        if (!take(p, ",") && (x->n_dims == 1 || (skip_spaces(p), **p != ')'))) return false;
    }
    return true;
}

static bool take_type(const char **p, npy *x) {
    for (int i = 0; i < N_TYPE; i++) {
        if (take(p, types[i].descr)) {
            x->type = (npy_type)i;
            return true;
        }
    }
    return false;
}

/* Parses the dict into x; returns the reason why not, or NULL. */
static const char *parse_header(const char *p, npy *x) {
    int seen_type = 0, seen_order = 0, seen_shape = 0;
    if (!take(&p, "{")) return "its header is not a Python dict";
    while (!take(&p, "}")) {
        if (take_key(&p, "'descr'")) {
            seen_type++;
            if (!take_type(&p, x))
                return "its type is not '<i4', '<f4' or '<f8'; convert it with "
                       "x.astype('<i4') (or '<f4', '<f8') before saving";
        } else if (take_key(&p, "'fortran_order'")) {
            seen_order++;
            if (take(&p, "True"))
                return "it is in Fortran order; save numpy.ascontiguousarray(x) instead";
            if (!take(&p, "False")) return "fortran_order is neither True nor False";
        } else if (take_key(&p, "'shape'")) {
            seen_shape++;
            if (!take_shape(&p, x)) return "its shape is not a tuple of at most 8 sizes";
        } else
            return "its header has a key other than descr, fortran_order and shape";
        if (!take(&p, ",") && (skip_spaces(&p), *p != '}')) return "its header is malformed";
    }
    skip_spaces(&p);
    if (*p) return "text follows its header's dict";
    if (seen_type != 1 || seen_order != 1 || seen_shape != 1)
        return "its header must have descr, fortran_order and shape once each";
    return NULL;
}

/* Bytes of the data, or -1 when they exceed what a long can hold. */
static long data_bytes(const npy *x) {
    long bytes = types[x->type].bytes;
    for (int i = 0; i < x->n_dims; i++)
        if (__builtin_mul_overflow(bytes, x->dim[i], &bytes)) return -1;
    return bytes;
}

/* Reads an open file of `size` bytes into x; returns the reason why not, or NULL. */
static const char *read_file(arena *a, FILE *file, long size, npy *x) {
    unsigned char start[12] = {0};
    if (fread(start, 1, 10, file) != 10 || memcmp(start, magic, sizeof magic))
        return "it does not start like a .npy file";
    const int version = start[6];
    if (version < 1 || version > 3 || start[7]) return "its format version is not 1.0, 2.0 or 3.0";
    long prefix = 10, n = start[8] | start[9] << 8;
    if (version > 1) {
        if (fread(start + 10, 1, 2, file) != 2) return "it ends inside its header";
        n |= (long)start[10] << 16 | (long)start[11] << 24;
        prefix = 12;
    }
    if (n > MAX_HEADER) return "its header is longer than 65536 bytes";
    char *text = arena_alloc(a, (size_t)n + 1);
    if (fread(text, 1, (size_t)n, file) != (size_t)n) return "it ends inside its header";
    if (strlen(text) != (size_t)n) return "its header contains a zero byte";
    const char *reason = parse_header(text, x);
    if (reason) return reason;
    const long bytes = data_bytes(x);
    if (bytes < 0) return "its shape is larger than any memory";
    if (size - prefix - n != bytes)
        return arena_printf(a, "its shape asks for %ld bytes of data but it has %ld", bytes,
                            size - prefix - n);
    x->data = arena_alloc(a, (size_t)bytes);
    if (fread(x->data, 1, (size_t)bytes, file) != (size_t)bytes)
        return "it could not be read to its end";
    return NULL;
}

npy *npy_read(arena *a, const char *path, error *e) {
    npy *x = ARENA_NEW(a, npy, 1);
    FILE *file = fopen(path, "rb");
    if (!file) {
        error_set(e, STATUS_ENVIRONMENT, "cannot open %s: %s; name a .npy file that you can read.",
                  path, strerror(errno));
        return NULL;
    }
    const char *reason = "it is not a plain file";
    long size = fseek(file, 0, SEEK_END) ? -1 : ftell(file);
    if (size >= 0 && size < LONG_MAX && !fseek(file, 0, SEEK_SET))
        reason = read_file(a, file, size, x);
    fclose(file);
    if (!reason) return x;
    error_set(e, STATUS_ENVIRONMENT, "cannot read %s: %s.", path, reason);
    return NULL;
}
