/* safetensors.c - see safetensors.h. */
#include "safetensors.h"

#include "results/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_HEADER = 64 << 20 };

static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {{"F32", 4}, {"F64", 8}, {"I32", 4}, {"I64", 8}, {"U8", 1}, {"BF16", 2}, {"F16", 2}};

static size_t dtype_bytes(const char *name) {
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (!strcmp(dtypes[i].name, name)) return dtypes[i].bytes;
    return 0;
}

const stored_tensor *stored_find(const stored_file *f, const char *name) {
    for (int i = 0; i < f->n_tensors; i++)
        if (!strcmp(f->tensor[i].name, name)) return &f->tensor[i];
    return NULL;
}

const char *stored_meta(const stored_file *f, const char *key) {
    for (int i = 0; i < f->n_meta; i++)
        if (!strcmp(f->meta[i].key, key)) return f->meta[i].text;
    return NULL;
}

static const char checksum_key[] = "checksum";

/* With its NUL, so that no two lists of texts run into the same bytes. */
static void add_text(sha256 *h, const char *text) { sha256_add(h, text, strlen(text) + 1); }

static void hash_file(char out[SHA256_HEX], const stored_file *f) {
    sha256 *h = sha256_new();
    for (int i = 0; i < f->n_meta; i++)
        if (strcmp(f->meta[i].key, checksum_key)) {
            add_text(h, f->meta[i].key);
            add_text(h, f->meta[i].text);
        }
    for (int i = 0; i < f->n_tensors; i++) {
        const stored_tensor *t = &f->tensor[i];
        add_text(h, t->name);
        add_text(h, t->dtype);
        sha256_add(h, t->dim, (size_t)t->rank * sizeof *t->dim);
        sha256_add(h, t->data, t->bytes);
    }
    sha256_end(h, out);
}

static char *make_header(const stored_file *f) {
    json_t *root = json_object(), *meta = json_object();
    char hash[SHA256_HEX];
    hash_file(hash, f);
    for (int i = 0; i < f->n_meta; i++)
        json_object_set_new(meta, f->meta[i].key, json_string(f->meta[i].text));
    json_object_set_new(meta, checksum_key, json_string(hash)); /* not one that was read */
    json_object_set_new(root, "__metadata__", meta);
    size_t at = 0;
    for (int i = 0; i < f->n_tensors; i++) {
        const stored_tensor *t = &f->tensor[i];
        json_t *shape = json_array();
        for (int k = 0; k < t->rank; k++) json_array_append_new(shape, json_integer(t->dim[k]));
        json_object_set_new(root, t->name,
                            json_pack("{s:s, s:o, s:[I,I]}", "dtype", t->dtype, "shape", shape,
                                      "data_offsets", (json_int_t)at, (json_int_t)(at + t->bytes)));
        at += t->bytes;
    }
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    return text;
}

static bool write_all(int fd, const void *bytes, size_t n) {
    const char *p = bytes;
    while (n) {
        ssize_t got = write(fd, p, n);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        p += got;
        n -= (size_t)got;
    }
    return true;
}

static status sync_folder(arena *a, const char *path) {
    int fd = open(dirname(arena_text(a, path)), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return STATUS_ENVIRONMENT;
    int failed = fsync(fd);
    close(fd);
    return failed ? STATUS_ENVIRONMENT : STATUS_OK;
}

status safetensors_write(const char *path, const stored_file *f, error *e) {
    arena *a = arena_new();
    const char *temporary = arena_printf(a, "%s.part", path);
    char *header = make_header(f);
    status s = STATUS_OK;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool good = fd >= 0;
    uint64_t n = strlen(header);
    unsigned char little[8];
    for (int i = 0; i < 8; i++) little[i] = (unsigned char)(n >> (8 * i));
    good = good && write_all(fd, little, sizeof little) && write_all(fd, header, n);
    for (int i = 0; i < f->n_tensors && good; i++)
        good = write_all(fd, f->tensor[i].data, f->tensor[i].bytes);
    good = good && !fsync(fd);
    int cause = errno;
    if (fd >= 0 && close(fd) && good) good = false, cause = errno;
    if (good && rename(temporary, path)) good = false, cause = errno;
    if (good && sync_folder(a, path)) good = false, cause = errno;
    if (!good) {
        s = error_set(e, STATUS_ENVIRONMENT,
                      "could not write %s: %s; free space or choose another folder.", path,
                      strerror(cause));
        unlink(temporary);
    }
    free(header);
    arena_free(a);
    return s;
}

/* ---- reading: nothing in the file is trusted ---- */

static unsigned char *read_whole(arena *a, const char *path, size_t *size, error *e) {
    struct stat info;
    unsigned char *bytes = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) || !S_ISREG(info.st_mode)) {
        error_set(e, STATUS_ENVIRONMENT, "could not read %s: %s.", path,
                  fd < 0 ? strerror(errno) : "it is not a file");
        goto done;
    }
    *size = (size_t)info.st_size;
    bytes = arena_alloc(a, *size + 1);
    for (size_t at = 0; at < *size;) {
        ssize_t got = read(fd, bytes + at, *size - at);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
            error_set(e, STATUS_ENVIRONMENT, "could not read %s: %s.", path,
                      got ? strerror(errno) : "it became shorter while being read");
            bytes = NULL;
            goto done;
        }
        at += (size_t)got;
    }
done:
    if (fd >= 0) close(fd);
    return bytes;
}

static const char *read_tensor(stored_tensor *t, arena *a, const char *name, const json_t *entry,
                               const unsigned char *data, size_t data_bytes) {
    const json_t *dtype = json_object_get(entry, "dtype"), *shape = json_object_get(entry, "shape"),
                 *offsets = json_object_get(entry, "data_offsets");
    if (!json_is_string(dtype) || !dtype_bytes(json_string_value(dtype))) return "unknown dtype";
    if (!json_is_array(shape) || json_array_size(shape) > SAFETENSORS_MAX_RANK)
        return "shape is not a list of at most 8 numbers";
    if (!json_is_array(offsets) || json_array_size(offsets) != 2)
        return "data_offsets is not a pair";
    *t = (stored_tensor){.name = arena_text(a, name),
                         .dtype = arena_text(a, json_string_value(dtype)),
                         .rank = (int)json_array_size(shape)};
    size_t bytes = dtype_bytes(t->dtype);
    for (int i = 0; i < t->rank; i++) {
        const json_t *size = json_array_get(shape, (size_t)i);
        const json_int_t n = json_integer_value(size);
        if (!json_is_integer(size)) return "shape is not a list of whole numbers";
        if (n < 0 || (n && bytes > data_bytes / (size_t)n + 1))
            return "shape is larger than the file";
        bytes *= (size_t)n;
        t->dim[i] = (long)n;
    }
    const json_t *first = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    const json_int_t from = json_integer_value(first), to = json_integer_value(end);
    if (!json_is_integer(first) || !json_is_integer(end))
        return "data_offsets are no whole numbers";
    if (from < 0 || to < from || (size_t)to > data_bytes)
        return "data_offsets lie outside the file";
    if ((size_t)(to - from) != bytes) return "data_offsets do not fit the shape";
    t->data = data + from;
    t->bytes = bytes;
    return NULL;
}

static const char *parse(stored_file *out, arena *a, const unsigned char *bytes, size_t size,
                         json_t **root) {
    uint64_t n = 0;
    if (size < 8) return "it is shorter than its header";
    for (int i = 0; i < 8; i++) n |= (uint64_t)bytes[i] << (8 * i);
    if (n > MAX_HEADER || n > size - 8) return "its header is longer than the file";
    *root = json_loadb((const char *)bytes + 8, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(*root)) return "its header is no JSON object";
    const size_t entries = json_object_size(*root);
    out->tensor = ARENA_NEW(a, stored_tensor, entries);
    const char *name;
    json_t *entry;
    json_object_foreach(*root, name, entry) {
        if (!strcmp(name, "__metadata__")) {
            const char *key;
            json_t *text;
            if (!json_is_object(entry)) return "its metadata are no object";
            out->meta = ARENA_NEW(a, stored_text, json_object_size(entry));
            json_object_foreach(entry, key, text) {
                if (!json_is_string(text)) return "its metadata are not text";
                out->meta[out->n_meta++] =
                    (stored_text){arena_text(a, key), arena_text(a, json_string_value(text))};
            }
            continue;
        }
        const char *why = read_tensor(&out->tensor[out->n_tensors], a, name, entry, bytes + 8 + n,
                                      size - 8 - (size_t)n);
        if (why) return arena_printf(a, "tensor %s: %s", name, why);
        out->n_tensors++;
    }
    const char *expected = stored_meta(out, checksum_key);
    char actual[SHA256_HEX];
    if (!expected) return NULL;
    hash_file(actual, out);
    return strcmp(expected, actual) ? "its checksum does not fit its contents" : NULL;
}

status safetensors_read(stored_file *out, arena *a, const char *path, error *e) {
    *out = (stored_file){0};
    size_t size = 0;
    unsigned char *bytes = read_whole(a, path, &size, e);
    if (!bytes) return e->code;
    json_t *root = NULL;
    const char *why = parse(out, a, bytes, size, &root);
    json_decref(root);
    if (!why) return STATUS_OK;
    *out = (stored_file){0};
    return error_set(e, STATUS_ENVIRONMENT, "%s is not a usable safetensors file: %s.", path, why);
}
