/* SPDX-License-Identifier: MIT
 *
 * Network namespaces: find a cell's, do one thing inside it and come back, and tell two of them apart.
 * Keeps no descriptor: an open one (or a socket made inside) keeps the namespace alive after its cell is gone.
 */
#ifndef CF_NETNS_H
#define CF_NETNS_H
#include <stdint.h>
struct cf_error;
struct cf_plan_cell;

/* Which namespace it is. The cookie is unique while the machine is up; the inode may be used again for a later one. */
struct cf_netns_id {
	uint64_t cookie; /* SO_NETNS_COOKIE; 0 before Linux 5.14 */
	uint64_t dev;
	uint64_t ino;
};

/* The namespace of cell->netns (a path) or of the process cell->pid. Returns a descriptor that the caller closes
 * (O_CLOEXEC), or -1 with CF_FAIL_SETNS. Never blocks and opens nothing but a namespace: not a FIFO, not a device. */
int cf_netns_open(const struct cf_plan_cell *cell, struct cf_error *err);

/* Enter the namespace, run fn(arg), come back, all on the calling thread. Returns what fn returned, or -1 with
 * CF_FAIL_SETNS when the namespace could not be entered (fn did not run). The caller keeps nsfd.
 * When coming back fails the process aborts: it must never go on in a namespace it does not know. */
int cf_netns_do(int nsfd, int (*fn)(void *arg), void *arg, struct cf_error *err);

/* Fill `id`; returns 0, or -1 with CF_FAIL_SETNS. */
int cf_netns_identity(int nsfd, struct cf_netns_id *id, struct cf_error *err);
/* 1: the same namespace. */
int cf_netns_same(const struct cf_netns_id *a, const struct cf_netns_id *b);
#endif
