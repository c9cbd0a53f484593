/* table.c - the kernels of this build as a table; a kernel that is missing is a link error. */
#include "kernels/core/kernels.h"

extern const struct kernels K(kernels);
const struct kernels K(kernels) = {
#define KERNEL(name, args) .name = K(name),
#include "kernels/kernels.def"
#undef KERNEL
};
