/* SPDX-License-Identifier: MIT
 * Changed policy files: see policy_watch.h. */
#include <stdlib.h>
#include <string.h>
#include "policy_watch.h"

void cf_policy_watch_begin(struct cf_policy_watch *watch)
{
	for (uint32_t i = 0; i < watch->count; i++)
		free(watch->files[i].path);
	memset(watch, 0, sizeof(*watch));
}

void cf_policy_watch_note(struct cf_policy_watch *watch, const char *path)
{
	char *copy = watch->count < CF_POLICY_FILES_MAX ? strdup(path) : NULL;

	if (!copy)
		return;
	watch->files[watch->count].path = copy;
	/* One that is missing now has changed as soon as it is there. */
	if (stat(path, &watch->files[watch->count].seen) < 0)
		memset(&watch->files[watch->count].seen, 0, sizeof(watch->files[watch->count].seen));
	watch->count++;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

bool cf_policy_watch_changed(struct cf_policy_watch *watch)
{
	bool moved = false;
	struct stat now;

	for (uint32_t i = 0; i < watch->count; i++) {
		if (stat(watch->files[i].path, &now) < 0)
			return false;
		if (is_same(&now, &watch->files[i].seen))
			continue;
		watch->files[i].seen = now;
		moved = true;
	}
	if (moved) {
		watch->changing = true;
		return false;
	}
	moved = watch->changing;
	watch->changing = false;
	return moved;
}
