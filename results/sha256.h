/* sha256.h - SHA-256 as 64 hex digits, of bytes in pieces, of one piece, of a file.
 *
 * Identifies configurations, environments, journals and binaries; not a secret anywhere. */
#pragma once
#include "kernels/core/error.h"

#include <stddef.h>

enum { SHA256_HEX = 65 }; /* 64 digits + NUL */

typedef struct sha256 sha256;

sha256 *sha256_new(void);
void sha256_add(sha256 *h, const void *bytes, size_t n);
void sha256_end(sha256 *h, char out[SHA256_HEX]); /* also frees h */

void sha256_bytes(char out[SHA256_HEX], const void *bytes, size_t n);
status sha256_file(char out[SHA256_HEX], const char *path, error *e);
