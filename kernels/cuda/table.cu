/* table.cu - the kernels of this build as a table. */
#include "port.cuh"

extern "C" const kernels KERNEL_PASTE(kernels, KERNEL_SUFFIX);
const kernels KERNEL_PASTE(kernels, KERNEL_SUFFIX) = {
#define KERNEL(name, args) K(name),
#include "kernels/kernels.def"
#undef KERNEL
};
