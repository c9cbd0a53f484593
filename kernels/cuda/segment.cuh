/* segment.cuh - where an element of a run lies in a flat, segment-major buffer; see gradnorm_fwd in
 * kernels.def.
 *
 * Threads are dealt the elements of one run as if its segments followed each other, so that what a
 * thread sums depends neither on the pack nor on the place in it. */
#pragma once
#include "port.cuh"

struct Segment {
    long at;    /* of the element in the buffer of all runs */
    long left;  /* elements of the segment from here on */
    bool decay; /* weight decay applies */
};

/* Element e of run r; 0 <= e < params, n_seg >= 1, segments in order of their start. */
__device__ inline Segment segment_find(const int *seg, int n_seg, long runs, long r, long e) {
    int low = 0, high = n_seg; /* the segment is in [low, high) */
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (seg[3 * middle] <= e)
            low = middle;
        else
            high = middle;
    }
    const long start = seg[3 * low], n = seg[3 * low + 1];
    return {runs * start + r * n + (e - start), n - (e - start), seg[3 * low + 2] != 0};
}
