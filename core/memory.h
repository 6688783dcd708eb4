/* SPDX-License-Identifier: MIT
 *
 * The memory of the Lua state: an allocator with a ceiling, so that a policy that grows without end gets Lua's "not
 * enough memory" and the process stays what it is. Counts what malloc takes, its own overhead included. One state a
 * process. When to look, and what follows, is script.c's and the worker's.
 */
#ifndef CF_MEMORY_H
#define CF_MEMORY_H
#include <stddef.h>
#include <stdint.h>

enum {
	CF_MEMORY_HARD = 2, /* the ceiling is this many times the soft limit */
	CF_MEMORY_GRANT_KB = 64, /* of each grant */
	CF_MEMORY_GRANTS_MB = 64, /* of all grants of a batch */
};

/* For lua_newstate. */
void *cf_memory_alloc(void *unused, void *block, size_t old_size, size_t size);

/* Soft limit in bytes, 0: none. The ceiling follows from it. */
void cf_memory_limit(uint64_t soft_bytes);

/* 1: `bytes` is more than the soft limit. */
int cf_memory_exceeds(uint64_t bytes);

/* `fn` is called in place of a refusal; NULL: refuse. LuaJIT 2.1 does not survive a refusal in compiled code. */
void cf_memory_on_refusal(void (*fn)(void));

/* Take back what cf_memory_lift (api.h) granted: a batch is over. */
void cf_memory_settle(void);

#endif
