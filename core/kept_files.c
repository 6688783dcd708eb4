/* SPDX-License-Identifier: MIT
 * Files that are read once: see kept_files.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "kept_files.h"

static int copy_out(const char *from, size_t size, char **text, size_t *len, struct cf_error *error)
{
	*text = malloc(size + 1);
	if (!*text)
		return cf_fail(error, CF_FAIL_INTERNAL, ENOMEM, "no memory for an included file");
	memcpy(*text, from, size);
	(*text)[size] = '\0';
	*len = size;
	return 0;
}

int cf_kept_files_read(void *context, const char *path, char **text, size_t *len, struct cf_error *error)
{
	struct cf_kept_files *kept = context;
	uint32_t i = 0;

	while (i < kept->count && strcmp(kept->files[i].path, path) != 0)
		i++;
	if (i == CF_INCLUDES_MAX)
		return cf_fail(error, CF_FAIL_POLICY, 0, "%s: more than %d files are included", path, CF_INCLUDES_MAX);
	if (i == kept->count) {
		if (strlen(path) >= CF_PATH_LEN)
			return cf_fail(error, CF_FAIL_POLICY, ENAMETOOLONG, "%s: is too long a path", path);
		if (kept->opener->read(kept->opener->context, path, &kept->files[i].text, &kept->files[i].len, error) <
		    0)
			return -1;
		strcpy(kept->files[i].path, path);
		kept->count++;
	}
	return copy_out(kept->files[i].text, kept->files[i].len, text, len, error);
}

void cf_kept_files_free(struct cf_kept_files *kept)
{
	for (uint32_t i = 0; i < kept->count; i++)
		free(kept->files[i].text);
	kept->count = 0;
}
