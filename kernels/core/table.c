/* table.c - all ops of one scalar type, in the order of enum op_id. */
#include "kernels.h"
#include "op.h"

#define ENTRY(name) extern const op K(op_##name);
#include "op.def"
#undef ENTRY

extern const op *const K(ops)[N_OP];
const op *const K(ops)[N_OP] = {
#define ENTRY(name) &K(op_##name),
#include "op.def"
#undef ENTRY
};
