/* claim.h - which runs this process, or one it has forked, is working on, for other processes that
 * share the journal folder.
 *
 * A claim is a lock of the kernel on one byte of JOURNALS/claims; the byte is chosen by the run id.
 * It belongs to the open file, which forked children share: it ends when the last of them has
 * ended, however that happens. Nothing is stored. */
#pragma once
#include "kernels/core/error.h"

/* Opens the file; -1 with an error. */
int claims_open(const char *journal_folder, error *e);
/* True when the run is now this process's; false when another has it. Where the file system has no
 * locks every claim is granted. */
bool claim_take(int claims, const char *run_id);
void claim_release(int claims, const char *run_id);
void claims_close(int claims); /* -1: none */
