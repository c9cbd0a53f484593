/* fuzz_driver.c - runs a fuzz target where there is no libFuzzer: its corpus, then mutations.
 *
 *   X_fuzz [-runs=N] [-seed=S] [-timeout=SECONDS] [-dict=FILE] FOLDER
 * These are libFuzzer's options, with its meanings. It is blind: mutations of corpus files are
 * thrown away, whatever they reach. The same seed and corpus give the same inputs everywhere. An
 * input at which the target dies is left in X_fuzz.crash beside the program. */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>

enum { MAX_FILES = 1024, MAX_WORDS = 256, MAX_EDITS = 6 };

typedef struct blob {
    uint8_t *data;
    size_t n;
} blob;

static blob file[MAX_FILES], word[MAX_WORDS];
static int n_files, n_words;
static uint8_t input[FUZZ_MAX_BYTES];
static size_t input_n;
static char crash_path[4096];
static unsigned patience_s = 60;
static uint64_t state;

/* splitmix64: good enough for choices, and the same everywhere. */
static uint64_t draw(uint64_t below) {
    state += 0x9E3779B97F4A7C15u;
    uint64_t z = state;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return below ? (z ^ z >> 31) % below : 0;
}

/* ---- what is mutated -------------------------------------------------------------------------*/

static blob read_blob(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) BUG("could not read %s", path);
    blob b = {.data = alloc_or_exit(FUZZ_MAX_BYTES)};
    b.n = fread(b.data, 1, FUZZ_MAX_BYTES, f);
    fclose(f);
    return b;
}

static int is_visible(const struct dirent *entry) { return entry->d_name[0] != '.'; }

static int by_bytes(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void read_corpus(const char *folder) {
    struct dirent **entry = NULL;
    const int n = scandir(folder, &entry, is_visible, by_bytes);
    if (n < 1) BUG("there is no corpus in %s", folder);
    for (int i = 0; i < n; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, entry[i]->d_name);
        if (n_files < MAX_FILES) file[n_files++] = read_blob(path);
        free(entry[i]);
    }
    free(entry);
}

/* Lines "text", with \\, \" and \xHH in it, as libFuzzer reads them. */
static void read_words(const char *path) {
    blob all = read_blob(path);
    const char *p = (const char *)all.data, *end = p + all.n;
    while (p < end && n_words < MAX_WORDS) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop) stop = end;
        const char *open = memchr(p, '"', (size_t)(stop - p));
        if (*p != '#' && open) {
            blob *w = &word[n_words++];
            w->data = alloc_or_exit((size_t)(stop - open));
            for (p = open + 1; p < stop && *p != '"'; p++) {
                unsigned code;
                if (*p == '\\' && p + 3 < stop && sscanf(p, "\\x%2x", &code) == 1) {
                    w->data[w->n++] = (uint8_t)code;
                    p += 3;
                } else {
                    p += *p == '\\';
                    w->data[w->n++] = (uint8_t)*p;
                }
            }
        }
        p = stop + 1;
    }
    free(all.data);
}

/* ---- mutations -------------------------------------------------------------------------------*/

/* Puts bytes in at `at`, as far as there is room. */
static void insert(size_t at, const uint8_t *bytes, size_t n) {
    uint8_t copy[FUZZ_MAX_BYTES];
    if (n > sizeof input - input_n) n = sizeof input - input_n;
    if (!n) return;
    memcpy(copy, bytes, n); /* which may be part of the input */
    memmove(input + at + n, input + at, input_n - at);
    memcpy(input + at, copy, n);
    input_n += n;
}

static void cut(size_t at, size_t n) {
    memmove(input + at, input + at + n, input_n - at - n);
    input_n -= n;
}

static void edit_number(size_t at) {
    static const char *const number[] = {"0",
                                         "-1",
                                         "1",
                                         "255",
                                         "65536",
                                         "2147483647",
                                         "2147483648",
                                         "4294967296",
                                         "-2147483649",
                                         "9223372036854775807",
                                         "9223372036854775808",
                                         "-9223372036854775808",
                                         "18446744073709551615",
                                         "1e308",
                                         "1e400",
                                         "-0.0",
                                         "1e-320",
                                         "nan",
                                         "inf",
                                         "0.5"};
    size_t n = 0;
    while (at < input_n && (input[at] < '0' || input[at] > '9')) at++;
    while (at + n < input_n && input[at + n] >= '0' && input[at + n] <= '9') n++;
    cut(at, n);
    const char *text = number[draw(sizeof number / sizeof *number)];
    insert(at, (const uint8_t *)text, strlen(text));
}

static void edit(void) {
    static const uint8_t edge[] = {0, 1, 0x7f, 0x80, 0xff, '\n', ' ', '"', ',', '{', '[', ':'};
    const size_t at = draw(input_n + 1), left = input_n - at;
    const size_t some = draw(left < 64 ? left + 1 : 64);
    switch (draw(10)) {
    case 0:
        if (left) input[at] ^= (uint8_t)(1u << draw(8));
        break;
    case 1:
        if (left) input[at] = edge[draw(sizeof edge)];
        break;
    case 2: insert(at, &edge[draw(sizeof edge)], 1); break;
    case 3: cut(at, some); break;
    case 4: cut(at, draw(8) ? 0 : left); break;
    case 5:
        for (uint64_t i = draw(16); i-- > 0;) insert(at, input + at, some);
        break;
    case 6: edit_number(at); break;
    case 7: { /* splice */
        const blob *b = &file[draw((uint64_t)n_files)];
        const size_t from = draw(b->n + 1);
        insert(at, b->data + from, draw(b->n - from + 1));
        break;
    }
    case 8:
        if (left > sizeof(uint64_t)) { /* a binary number, little endian */
            const uint64_t wild = draw(2) ? UINT64_MAX >> draw(64) : draw(0) + 1;
            memcpy(input + at, &wild, (size_t)1 << draw(4));
        }
        break;
    default:
        if (n_words) {
            const blob *w = &word[draw((uint64_t)n_words)];
            insert(at, w->data, w->n);
        }
    }
}

/* ---- running ---------------------------------------------------------------------------------*/

/* Only what a signal handler may do. */
static void save_input(void) {
    const int fd = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0) return;
    if (write(fd, input, input_n) == (ssize_t)input_n) {
        static const char said[] = "fuzz_driver: the input is in X_fuzz.crash beside the program\n";
        if (write(STDERR_FILENO, said, sizeof said - 1) < 0) _exit(1);
    }
    close(fd);
}

static void on_signal(int number) {
    save_input();
    signal(number, SIG_DFL);
    raise(number);
}

static void run_input(void) {
    uint8_t *copy = alloc_or_exit(input_n ? input_n : 1); /* so that overruns are seen */
    memcpy(copy, input, input_n);
    alarm(patience_s);
    LLVMFuzzerTestOneInput(copy, input_n);
    alarm(0);
    free(copy);
}

static void take(const blob *b) {
    memcpy(input, b->data, b->n);
    input_n = b->n;
}

#if defined __SANITIZE_ADDRESS__
void __sanitizer_set_death_callback(void (*callback)(void));
#endif

int main(int argc, char **argv) {
    long runs = 0;
    for (int i = 1; i < argc; i++) {
        if (!strncmp(argv[i], "-runs=", 6))
            runs = strtol(argv[i] + 6, NULL, 10);
        else if (!strncmp(argv[i], "-seed=", 6))
            state = strtoull(argv[i] + 6, NULL, 10);
        else if (!strncmp(argv[i], "-timeout=", 9))
            patience_s = (unsigned)strtoul(argv[i] + 9, NULL, 10);
        else if (!strncmp(argv[i], "-dict=", 6))
            read_words(argv[i] + 6);
        else if (argv[i][0] != '-')
            read_corpus(argv[i]);
        else
            BUG("unknown option %s", argv[i]);
    }
    if (!n_files) BUG("name the folder of the corpus");
    snprintf(crash_path, sizeof crash_path, "%s.crash", argv[0]);
    static const int deadly[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM};
    for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++) signal(deadly[i], on_signal);
#if defined __SANITIZE_ADDRESS__
    __sanitizer_set_death_callback(save_input);
#endif
    long done = 0;
    for (; done < n_files; done++) {
        take(&file[done]);
        run_input();
    }
    for (; done < runs; done++) {
        take(&file[draw((uint64_t)n_files)]);
        for (uint64_t edits = 1 + draw(MAX_EDITS); edits-- > 0;) edit();
        run_input();
    }
    printf("%ld inputs, %d of them the corpus\n", done, n_files);
    for (int i = 0; i < n_files; i++) free(file[i].data);
    for (int i = 0; i < n_words; i++) free(word[i].data);
    return 0;
}
