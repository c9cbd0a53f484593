/* journal_read.h - the complete lines of a journal, from any offset, while it may still grow.
 *
 * The end is where no further line is complete: a last line without newline, or a last line that
 * is no JSON and has no checksum at its end, is a torn tail and is left for its writer. The same in
 * the middle is damage, and so is a wrong or missing checksum anywhere. */
#pragma once
#include "journal.h"
#include "sha256.h"
#include "whole_file.h"

#include <jansson.h>

/* How a line is parsed, by reader and writer alike: SQLite takes the first of two equal keys, and
 * Jansson would take the last. */
enum { JOURNAL_JSON = JSON_REJECT_DUPLICATES };

typedef struct journal_reader journal_reader;

/* The runs that have a journal in the folder; as folder_names. */
names journal_runs(arena *a, const char *folder);

/* `*out` is NULL with STATUS_OK when there is no such journal. */
status journal_read_open(journal_reader **out, const char *folder, const char *run_id, error *e);
void journal_read_close(journal_reader *r); /* may be NULL */
const char *journal_read_path(const journal_reader *r);

/* The next complete line: its text and its object, both valid until the next call. False at the
 * end, and on an error (unreadable, damaged, written by a newer version). */
bool journal_read_line(journal_reader *r, const char **text, json_t **line, error *e);
long journal_read_offset(const journal_reader *r);      /* behind the last line returned */
long journal_read_number(const journal_reader *r);      /* its number, counted from 1 */
void journal_read_seek(journal_reader *r, long offset); /* an offset returned earlier */

/* The error for a line that is not as it was written (`damaged`), or that says what no line may
 * say, and what to do about it. */
status journal_refuse(error *e, const char *path, long number, bool damaged, const char *why);

/* SHA-256 over the first and the last bytes of [0, offset); "" when the file is shorter. */
void journal_read_fingerprint(journal_reader *r, long offset, char out[SHA256_HEX]);
