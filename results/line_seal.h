/* line_seal.h - the checksum that ends a line of a journal or of an experiment file.
 *
 * The last field of a line is ,"crc":"9a0b1c2d": the CRC-32 (of gzip and zlib) of all bytes before
 * the comma, as 8 hex digits. It finds every single flipped bit and every burst of up to 32 bits;
 * it is no protection against somebody who means it. */
#pragma once
#include "jsontext.h"

enum { SEAL_BYTES = 18 }; /* of the field and the bracket that closes the line */

/* The seal for a line of n bytes, which ends before the comma. */
void seal_make(char out[SEAL_BYTES + 1], const char *line, long n);
/* Ends the line that began at t->data + start: seal and newline. */
void seal_put(jsontext *t, long start);

typedef enum seal_state {
    SEAL_NONE, /* no such field at the end: journal version 1, or torn */
    SEAL_RIGHT,
    SEAL_WRONG
} seal_state;
/* line: [n], a newline at its end is no part of it. */
seal_state seal_check(const char *line, long n);
