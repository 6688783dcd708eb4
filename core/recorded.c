/* SPDX-License-Identifier: MIT
 * Progress of a recorder, in two copies: see recorded.h. */
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "recorded.h"

struct cf_recorded *cf_recorded_new(void)
{
	void *at = mmap(NULL, sizeof(struct cf_recorded), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

void cf_recorded_free(struct cf_recorded *recorded)
{
	if (recorded)
		munmap(recorded, sizeof(*recorded));
}

const struct cf_recorder_state *cf_recorded_current(const struct cf_recorded *recorded)
{
	return &recorded->states[atomic_load_explicit(&recorded->current, memory_order_acquire) & 1];
}

void cf_recorded_recover(struct cf_recorded *recorded, const int fds[2])
{
	const struct cf_recorder_state *now = cf_recorded_current(recorded);
	uint32_t other = (atomic_load(&recorded->current) & 1) ^ 1;
	const struct cf_recorder_state *next = &recorded->states[other];
	uint64_t before = next->part == now->part ? now->part_bytes : 0;
	int fd = fds[next->part & 1];
	struct stat st;

	if (!atomic_load(&recorded->is_flying) || fd < 0 || fstat(fd, &st) < 0)
		return;
	if ((uint64_t)st.st_size >= recorded->flying_len) {
		atomic_store(&recorded->current, other);
	} else if ((uint64_t)st.st_size > before) {
		if (ftruncate(fd, (off_t)before) < 0 || lseek(fd, (off_t)before, SEEK_SET) < 0)
			return;
	}
	atomic_store(&recorded->is_flying, 0);
}
