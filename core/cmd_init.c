/* SPDX-License-Identifier: MIT
 * cellflow init: a first policy and its spec, for somebody to go on from. The texts are files of lua/starter/, linked
 * in; here is only where they go. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cmd.h"

extern const char cf_starter_policy[], cf_starter_policy_end[], cf_starter_spec[], cf_starter_spec_end[];

struct starter {
	const char *name; /* below the directory */
	const char *from, *end;
	char path[PATH_MAX];
};

enum { FILES = 2 };

static int name_paths(struct starter *files, const char *directory, struct cf_error *error)
{
	const char *prefix = strcmp(directory, ".") == 0 ? "" : directory;

	for (int i = 0; i < FILES; i++) {
		int len = snprintf(files[i].path, PATH_MAX, "%s%s%s", prefix, *prefix ? "/" : "", files[i].name);

		if (len >= PATH_MAX)
			return cf_fail(error, CF_FAIL_USAGE, 0, "init: the path is too long");
	}
	return 0;
}

static int make_directory(const char *path, struct cf_error *error)
{
	if (mkdir(path, 0777) == 0 || errno == EEXIST)
		return 0;
	return cf_fail(error, CF_FAIL_OUTPUT, errno, "init: cannot make the directory %s: %s", path, strerror(errno));
}

static int write_file(const struct starter *file, int force, struct cf_error *error)
{
	/* The licence line at the top is the repository's: what is written belongs to whoever asked for it. */
	const char *at = strchr(file->from, '\n') + 1;
	int fd = open(file->path, O_WRONLY | O_CREAT | O_CLOEXEC | (force ? O_TRUNC : O_EXCL), 0666);

	if (fd < 0)
		return cf_fail(error, CF_FAIL_OUTPUT, errno, "init: cannot write %s: %s", file->path, strerror(errno));
	while (at < file->end) {
		ssize_t done = write(fd, at, (size_t)(file->end - at));

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			cf_fail(error, CF_FAIL_OUTPUT, errno, "init: cannot write %s: %s", file->path, strerror(errno));
			close(fd);
			return -1;
		}
		at += done;
	}
	if (close(fd) < 0)
		return cf_fail(error, CF_FAIL_OUTPUT, errno, "init: cannot write %s: %s", file->path, strerror(errno));
	printf("wrote %s\n", file->path);
	return 0;
}

static int init(const char *directory, int force, struct cf_error *error)
{
	struct starter files[FILES] = {
		{ .name = "cellflow.lua", .from = cf_starter_policy, .end = cf_starter_policy_end },
		{ .name = "spec/cellflow_spec.lua", .from = cf_starter_spec, .end = cf_starter_spec_end },
	};
	char specs[PATH_MAX];
	struct stat found;

	if (name_paths(files, directory, error) < 0)
		return -1;
	/* All of them before the first is written: half a start would be in the way of the next try. */
	for (int i = 0; !force && i < FILES; i++)
		if (lstat(files[i].path, &found) == 0)
			return cf_fail(error, CF_FAIL_OUTPUT, EEXIST,
				       "init: %s is there already (--force overwrites it)", files[i].path);
	snprintf(specs, sizeof(specs), "%s", files[1].path);
	*strrchr(specs, '/') = '\0';
	if (make_directory(directory, error) < 0 || make_directory(specs, error) < 0)
		return -1;
	for (int i = 0; i < FILES; i++)
		if (write_file(&files[i], force, error) < 0)
			return -1;
	printf("next: %s%s%scellflow check cellflow.lua && cellflow test\n", strcmp(directory, ".") ? "cd " : "",
	       strcmp(directory, ".") ? directory : "", strcmp(directory, ".") ? " && " : "");
	return 0;
}

static int run(int argc, char **argv)
{
	struct cf_error error = { 0 };
	int force = 0, operands;
	const struct cf_option table[] = {
		{ "force", 'f', CF_OPTION_FLAG, NULL, "overwrite what is there", &force, 0, 0 },
		{ 0 },
	};
	int rc = cf_options_parse(&cf_verb_init, table, argc, argv, &operands, &error);

	if (rc > 0)
		return 0;
	if (rc == 0 && operands > 1)
		rc = cf_fail(&error, CF_FAIL_USAGE, 0, "init: want one directory, got %d", operands);
	if (rc == 0)
		rc = init(operands ? argv[0] : ".", force, &error);
	return rc < 0 ? cf_cmd_failed(&error) : 0;
}

const struct cf_verb cf_verb_init = {
	.name = "init",
	.arguments = "[--force] [DIR]",
	.summary = "write a first policy and its spec, to go on from",
	.notes = "Writes cellflow.lua and spec/cellflow_spec.lua in DIR (default: here). Overwrites nothing, unless "
		 "--force.\n",
	.run = run,
};
