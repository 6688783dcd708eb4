/* SPDX-License-Identifier: MIT
 * Watching paths: see path_watch.h. */
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>
#include "path_watch.h"
#include "plan.h"

enum {
	BUFFER_LEN = 16384,
	NEWS = IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR,
	OF_ALL = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED,
};

void cf_path_watch_open(struct cf_path_watch *watch)
{
	watch->first = NULL;
	watch->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
}

void cf_path_watch_close(struct cf_path_watch *watch)
{
	while (watch->first) {
		watch->first->users = 1;
		cf_path_watch_remove(watch, watch->first);
	}
	if (watch->fd >= 0)
		close(watch->fd);
	watch->fd = -1;
}

const char *cf_path_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int watch_directory(const struct cf_path_watch *watch, const char *path)
{
	size_t len = (size_t)(cf_path_name(path) - path);
	char directory[CF_PATH_LEN];

	if (watch->fd < 0 || len >= sizeof(directory))
		return -1;
	if (len == 0)
		return inotify_add_watch(watch->fd, ".", NEWS);
	memcpy(directory, path, len);
	directory[len] = '\0';
	return inotify_add_watch(watch->fd, directory, NEWS);
}

/* By number, not by path: /var/run/netns and /run/netns are one directory, and the kernel gives one number for both. */
struct cf_path_dir *cf_path_watch_add(struct cf_path_watch *watch, const char *path)
{
	int wd = watch_directory(watch, path);
	struct cf_path_dir *dir;

	if (wd < 0)
		return NULL;
	for (dir = watch->first; dir; dir = dir->next)
		if (dir->wd == wd)
			break;
	if (!dir) {
		dir = calloc(1, sizeof(*dir));
		if (!dir) {
			inotify_rm_watch(watch->fd, wd);
			return NULL;
		}
		dir->wd = wd;
		dir->next = watch->first;
		watch->first = dir;
	}
	dir->users++;
	return dir;
}

void cf_path_watch_remove(struct cf_path_watch *watch, struct cf_path_dir *dir)
{
	struct cf_path_dir **at = &watch->first;

	while (*at && *at != dir)
		at = &(*at)->next;
	if (!*at || --dir->users > 0)
		return;
	*at = dir->next;
	if (dir->wd >= 0)
		inotify_rm_watch(watch->fd, dir->wd);
	free(dir);
}

static struct cf_path_dir *find(const struct cf_path_watch *watch, int wd)
{
	struct cf_path_dir *dir = watch->first;

	while (dir && dir->wd != wd)
		dir = dir->next;
	return dir;
}

static void take(struct cf_path_watch *watch, const struct inotify_event *event, cf_path_fn *fn, void *context)
{
	struct cf_path_dir *dir;

	if (event->mask & IN_Q_OVERFLOW) {
		fn(context, NULL, NULL);
		return;
	}
	dir = event->wd < 0 ? NULL : find(watch, event->wd); /* NULL: news of one that was removed meanwhile */
	if (!dir)
		return;
	if (event->mask & IN_IGNORED) /* its number may be given again */
		dir->wd = -1;
	if (event->mask & OF_ALL)
		fn(context, dir, NULL);
	else if (event->len > 0)
		fn(context, dir, event->name);
}

void cf_path_watch_read(struct cf_path_watch *watch, cf_path_fn *fn, void *context)
{
	char buffer[BUFFER_LEN] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t len = watch->fd < 0 ? -1 : read(watch->fd, buffer, sizeof(buffer));
	const struct inotify_event *event;

	for (ssize_t at = 0; at < len; at += (ssize_t)(sizeof(*event) + event->len)) {
		event = (const struct inotify_event *)(const void *)(buffer + at);
		take(watch, event, fn, context);
	}
}
