/* store_place.h - where a database lies: its folder, its file system, and whose it is to write.
 *
 * The lock is an open-file-description lock on PATH.lock: the kernel frees it when its owner dies,
 * however it dies. The text in the file only tells others who that is. */
#pragma once
#include "kernels/core/arena.h"
#include "kernels/core/error.h"

/* Takes the lock; returns its descriptor, or -1 with an error that names a live owner or says what
 * is wrong with the folder. */
int place_lock(const char *path, error *e);
/* Refuses a path that holds no database: a folder, a device, a pipe, a file that does not begin
 * like one. What is not there, or empty, passes. */
status place_check(const char *path, error *e);
/* Somebody, here or on another machine, holds the lock now. */
bool place_is_locked(const char *path);
void place_unlock(int fd, const char *path); /* removes the file */

/* "NFS", "SMB" ... when a path lies on a network file system, else NULL. */
const char *place_remote(const char *path);
const char *place_remote_kind(unsigned long magic); /* of statfs */

/* Renames the database and its side files to PATH.damaged-N with the first free N. */
status place_move_aside(const char *path, const char *why, error *e);
