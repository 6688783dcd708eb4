/* SPDX-License-Identifier: MIT
 *
 * Learns at once that a path may lead elsewhere now: its name was removed from its directory, moved away or put in
 * anew, or the directory itself went. One inotify watch for each directory, however many paths are in it. What the path
 * leads to now is for others to find out.
 */
#ifndef CF_PATH_WATCH_H
#define CF_PATH_WATCH_H
#include <stdint.h>

/* A directory that is watched; shared by the paths in it. */
struct cf_path_dir {
	struct cf_path_dir *next;
	int wd; /* -1: the directory went */
	uint32_t users;
};

struct cf_path_watch {
	int fd; /* poll for POLLIN, then cf_path_watch_read; -1: the kernel gave none, nothing is watched */
	struct cf_path_dir *first;
};

void cf_path_watch_open(struct cf_path_watch *watch);
void cf_path_watch_close(struct cf_path_watch *watch); /* idempotent; forgets all directories */

/* Watch the directory of `path`. NULL when that cannot be had (no such directory, or the kernel's limits on inotify
 * are reached): somebody has to look from time to time. A file system without such news (/proc) is watched in vain. */
struct cf_path_dir *cf_path_watch_add(struct cf_path_watch *watch, const char *path);
void cf_path_watch_remove(struct cf_path_watch *watch, struct cf_path_dir *dir); /* dir may be NULL */

/* dir NULL: news were lost, whatever is watched may be concerned. name NULL: all that is in dir. */
typedef void cf_path_fn(void *context, const struct cf_path_dir *dir, const char *name);
/* Take one buffer of news (some hundred), without blocking. */
void cf_path_watch_read(struct cf_path_watch *watch, cf_path_fn *fn, void *context);
/* The last part of a path: what a directory calls it. */
const char *cf_path_name(const char *path);
#endif
