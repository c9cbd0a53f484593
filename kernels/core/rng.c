/* rng.c - see rng.h. */
#include "rng.h"

#include "error.h"

#include <math.h>
#include <string.h>

void philox4x32(uint32_t out[4], const uint32_t counter[4], rng_key key) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key.word[0], k1 = key.word[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* FNV-1a over bytes; the finaliser below spreads its weak high bits. */
static uint64_t fnv1a(uint64_t hash, const void *bytes, size_t n) {
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++) hash = (hash ^ p[i]) * 0x100000001B3u;
    return hash;
}

static uint64_t mix64(uint64_t x) { /* Stafford variant 13, the finaliser of SplitMix64 */
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

rng_key rng_key_make(uint64_t seed, const char *stream, const void *bytes, size_t n) {
    unsigned char little[8]; /* byte order must not reach a result */
    for (int i = 0; i < 8; i++) little[i] = (unsigned char)(seed >> (8 * i));
    uint64_t hash = fnv1a(0xCBF29CE484222325u, little, sizeof little);
    hash = fnv1a(hash, stream, strlen(stream) + 1);
    if (n) hash = fnv1a(hash, bytes, n);
    hash = mix64(hash);
    return (rng_key){{(uint32_t)hash, (uint32_t)(hash >> 32)}};
}

rng rng_start(rng_key key, uint64_t index, uint32_t attempt) {
    return (rng){.key = key, .counter = {(uint32_t)index, (uint32_t)(index >> 32), attempt, 0}};
}

uint32_t rng_u32(rng *g) {
    if (!g->left) {
        philox4x32(g->block, g->counter, g->key);
        g->counter[3]++;
        g->left = 4;
    }
    return g->block[4 - g->left--];
}

uint32_t rng_below(rng *g, uint32_t n) { /* Lemire 2019: multiply, reject the short strip */
    if (!n) BUG("rng_below of 0");
    uint64_t product = (uint64_t)rng_u32(g) * n;
    if ((uint32_t)product < n) {
        uint32_t threshold = -n % n;
        while ((uint32_t)product < threshold) product = (uint64_t)rng_u32(g) * n;
    }
    return (uint32_t)(product >> 32);
}

double rng_uniform(rng *g) {
    uint64_t high = rng_u32(g), low = rng_u32(g);
    return (double)((high << 32 | low) >> 11) * 0x1p-53;
}

double rng_normal(rng *g) {
    double u = 1 - rng_uniform(g), v = rng_uniform(g); /* u in (0, 1]: the logarithm is finite */
    return sqrt(-2 * log(u)) * cos(6.283185307179586476925 * v);
}

void rng_sample(rng *g, int *out, int k, int n) { /* Floyd's set, then a shuffle for the order */
    if (k > n) BUG("rng_sample of %d out of %d", k, n);
    for (int i = 0; i < k; i++) {
        int top = n - k + i, pick = (int)rng_below(g, (uint32_t)top + 1), taken = 0;
        for (int j = 0; j < i; j++) taken |= out[j] == pick;
        out[i] = taken ? top : pick;
    }
    for (int i = k - 1; i > 0; i--) {
        int j = (int)rng_below(g, (uint32_t)i + 1), swap = out[i];
        out[i] = out[j];
        out[j] = swap;
    }
}

uint64_t rng_permute(rng_key key, uint64_t n, uint64_t i) {
    if (i >= n) BUG("rng_permute of %llu in %llu", (unsigned long long)i, (unsigned long long)n);
    int half = 1; /* bits of each half: the network works on [0, 4^half) >= n */
    while (half < 31 && (uint64_t)1 << (2 * half) < n) half++;
    const uint64_t mask = ((uint64_t)1 << half) - 1;
    do {
        uint64_t left = i >> half, right = i & mask;
        for (uint32_t round = 0; round < 8; round++) {
            uint32_t out[4], counter[4] = {(uint32_t)right, round, 0, 0};
            philox4x32(out, counter, key);
            uint64_t next = left ^ (out[0] & mask);
            left = right;
            right = next;
        }
        i = left << half | right;
    } while (i >= n);
    return i;
}
