/* SPDX-License-Identifier: MIT
 * An allocator with a ceiling: see memory.h. */
#include <stdlib.h>
#include "api.h"
#include "memory.h"

static struct {
	uint64_t used;
	uint64_t soft; /* 0: no limit */
	uint64_t granted; /* beyond the ceiling */
	uint32_t lifted; /* 1: no ceiling */
	void (*on_refusal)(void);
} memory;

/* What glibc's malloc takes for a request: many small objects cost up to twice what they ask for. */
static uint64_t cost(size_t size)
{
	if (size == 0)
		return 0;
	return size <= 24 ? 32 : (((uint64_t)size + 8 + 15) & ~15ULL);
}

static int allowed(uint64_t used)
{
	return memory.soft == 0 || memory.lifted || used <= memory.soft * CF_MEMORY_HARD + memory.granted;
}

static void *refuse(void)
{
	if (memory.on_refusal)
		memory.on_refusal();
	return NULL;
}

void *cf_memory_alloc(void *unused, void *block, size_t old_size, size_t size)
{
	uint64_t used = memory.used - cost(block ? old_size : 0) + cost(size);
	void *moved;

	(void)unused;
	if (size == 0) {
		free(block);
		memory.used = used;
		return NULL;
	}
	/* Lua counts on it that less memory is never refused. */
	if (used > memory.used && !allowed(used))
		return refuse();
	moved = realloc(block, size);
	if (!moved)
		return size <= old_size ? block : refuse();
	memory.used = used;
	return moved;
}

void cf_memory_limit(uint64_t soft_bytes)
{
	memory.soft = soft_bytes;
}

int cf_memory_exceeds(uint64_t bytes)
{
	return memory.soft != 0 && bytes > memory.soft;
}

/* A grant is enough for the runtime to note what happened, and too little for a policy to live on. */
static void grant(void)
{
	uint64_t ceiling = memory.soft * CF_MEMORY_HARD;
	uint64_t wanted = memory.used + ((uint64_t)CF_MEMORY_GRANT_KB << 10);

	if (wanted <= ceiling)
		return;
	wanted -= ceiling;
	if (wanted > (uint64_t)CF_MEMORY_GRANTS_MB << 20)
		wanted = (uint64_t)CF_MEMORY_GRANTS_MB << 20;
	if (wanted > memory.granted)
		memory.granted = wanted;
}

void cf_memory_lift(uint32_t lifted)
{
	memory.lifted = lifted;
	if (!lifted)
		grant();
}

void cf_memory_on_refusal(void (*fn)(void))
{
	memory.on_refusal = fn;
}

void cf_memory_settle(void)
{
	memory.granted = 0;
}
