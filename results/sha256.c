/* sha256.c - see sha256.h; a thin coat over libcrypto. Not over its EVP interface, whose header
 * names a parameter `rand`, which banned.h forbids; nor SHA256() in one call, which allocates
 * behind it and leaves the digest unwritten when that fails. */
#define OPENSSL_API_COMPAT 0x10100000L
#include "sha256.h"

#include "kernels/core/arena.h"

#include <errno.h>
#include <openssl/sha.h>

struct sha256 {
    SHA256_CTX context;
};

sha256 *sha256_new(void) {
    sha256 *h = alloc_or_exit(sizeof *h);
    CHECK(SHA256_Init(&h->context) == 1);
    return h;
}

void sha256_add(sha256 *h, const void *bytes, size_t n) {
    CHECK(SHA256_Update(&h->context, bytes, n) == 1);
}

void sha256_end(sha256 *h, char out[SHA256_HEX]) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    CHECK(SHA256_Final(digest, &h->context) == 1);
    for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        static const char digit[] = "0123456789abcdef";
        out[2 * i] = digit[digest[i] >> 4];
        out[2 * i + 1] = digit[digest[i] & 15];
    }
    out[2 * SHA256_DIGEST_LENGTH] = '\0';
    free(h);
}

void sha256_bytes(char out[SHA256_HEX], const void *bytes, size_t n) {
    sha256 *h = sha256_new();
    sha256_add(h, bytes, n);
    sha256_end(h, out);
}

status sha256_file(char out[SHA256_HEX], const char *path, error *e) {
    FILE *file = fopen(path, "rbe");
    if (!file)
        return error_set(e, STATUS_ENVIRONMENT, "%s cannot be read: %s.", path, strerror(errno));
    sha256 *h = sha256_new();
    char block[1 << 16];
    for (size_t n; (n = fread(block, 1, sizeof block, file)) > 0;) sha256_add(h, block, n);
    bool failed = ferror(file);
    fclose(file);
    sha256_end(h, out);
    if (failed) return error_set(e, STATUS_ENVIRONMENT, "%s cannot be read to its end.", path);
    return STATUS_OK;
}
