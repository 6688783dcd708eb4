/* SPDX-License-Identifier: MIT
 *
 * An operator's BPF object as bytes. It is read by root and its program runs in the kernel, so only a file that
 * nobody but root can have written is taken, and it is read once: what was checked is what is loaded.
 */
#ifndef CF_BPF_FILE_H
#define CF_BPF_FILE_H
#include <stddef.h>
struct cf_error;

enum {
	CF_BPF_FILE_MAX = 16777216, /* bytes */
};

/* Along the whole path, given without symbolic links, each directory must be root's and writable by root alone (or
 * sticky, as /tmp): who can write a directory chooses what lies in it.
 * The file's bytes, to be freed by the caller, and their number; NULL with CF_FAIL_OBJECT_MISSING. Never blocks. */
void *cf_bpf_file_read(const char *path, size_t *len, struct cf_error *err);
#endif
