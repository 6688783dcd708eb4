/* SPDX-License-Identifier: MIT
 * Files that a policy includes, from both ends of the channel: see include.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "channel.h"
#include "include.h"
#include "policy_file.h"

struct cf_includes *cf_includes_new(void)
{
	return calloc(1, sizeof(struct cf_includes));
}

void cf_includes_free(struct cf_includes *includes)
{
	for (uint32_t i = 0; includes && i < includes->count; i++)
		close(includes->files[i].fd);
	free(includes);
}

static int write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t put = write(fd, text, len);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -1;
		text += put;
		len -= (size_t)put;
	}
	return 0;
}

/* A copy that neither we nor the worker can change, to hand out again. */
static int sealed_copy(const char *text, size_t len)
{
	int fd = memfd_create("cellflow-include", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -1;
	if (write_all(fd, text, len) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Index of the file's copy, made when it is asked for first; -1. */
static int find(struct cf_includes *includes, const char *path, const uid_t *worker, gid_t group,
		struct cf_error *error)
{
	char *text;
	size_t len;
	int fd;

	for (uint32_t i = 0; i < includes->count; i++)
		if (strcmp(includes->files[i].path, path) == 0)
			return (int)i;
	if (includes->frozen)
		return cf_fail(error, CF_FAIL_POLICY, 0, "%s: was not included when the policy was read first", path);
	if (includes->count == CF_INCLUDES_MAX)
		return cf_fail(error, CF_FAIL_POLICY, 0, "%s: more than %d files are included", path, CF_INCLUDES_MAX);
	if (includes->watch) /* first: what changes while we read is a change */
		cf_policy_watch_note(includes->watch, path);
	if (cf_policy_read(path, worker, group, &text, &len, error) < 0)
		return -1;
	fd = sealed_copy(text, len);
	free(text);
	if (fd < 0)
		return cf_fail(error, CF_FAIL_INTERNAL, errno, "%s: cannot be copied: %s", path, strerror(errno));
	strcpy(includes->files[includes->count].path, path);
	includes->files[includes->count].fd = fd;
	includes->files[includes->count].len = len;
	return (int)includes->count++;
}

int cf_includes_answer(struct cf_includes *includes, int channel, const char *path, const uid_t *worker, gid_t group)
{
	struct cf_message_text text = { 0 };
	struct cf_message_number size;
	struct cf_error error = { 0 };
	int index = -1;

	if (memchr(path, '\0', CF_PATH_LEN))
		index = find(includes, path, worker, group, &error);
	else
		cf_fail(&error, CF_FAIL_INTERNAL, 0, "a path without its end");
	if (index < 0) {
		memcpy(text.text, error.text, sizeof(text.text));
		return cf_channel_send(channel, CF_MSG_INCLUDE_FAILED, &text, sizeof(text), NULL, 0);
	}
	size.value = includes->files[index].len;
	return cf_channel_send(channel, CF_MSG_INCLUDED, &size, sizeof(size), &includes->files[index].fd, 1);
}

/* By mmap: a read would move the offset, which is the supervisor's as well. Sealed, the file cannot shrink under it. */
static int read_copy(int fd, size_t size, char **text, size_t *len)
{
	void *mapped = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;

	*text = mapped == MAP_FAILED ? NULL : malloc(size + 1);
	if (*text) {
		if (size)
			memcpy(*text, mapped, size);
		(*text)[size] = '\0';
		*len = size;
	}
	if (mapped && mapped != MAP_FAILED)
		munmap(mapped, size);
	return *text ? 0 : -1;
}

int cf_include_ask(void *context, const char *path, char **text, size_t *len, struct cf_error *error)
{
	struct cf_message_path request = { 0 };
	struct cf_message answer;
	int channel = *(int *)context;
	int rc = -1;

	*text = NULL;
	if (strlen(path) >= sizeof(request.path))
		return cf_fail(error, CF_FAIL_POLICY, ENAMETOOLONG, "%s: is too long a path", path);
	strcpy(request.path, path);
	if (cf_channel_send(channel, CF_MSG_INCLUDE, &request, sizeof(request), NULL, 0) < 0 ||
	    cf_channel_receive(channel, &answer, -1) <= 0)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "%s: the supervisor does not answer", path);
	if (answer.type == CF_MSG_INCLUDE_FAILED)
		cf_fail(error, CF_FAIL_POLICY, 0, "%s", answer.body.text.text);
	else if (answer.type == CF_MSG_INCLUDED)
		rc = read_copy(answer.fds[0], answer.body.number.value, text, len);
	if (rc < 0 && answer.type != CF_MSG_INCLUDE_FAILED)
		cf_fail(error, CF_FAIL_INTERNAL, 0, "%s: its copy cannot be read", path);
	cf_message_close_fds(&answer);
	return rc;
}
