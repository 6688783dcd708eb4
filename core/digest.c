/* SPDX-License-Identifier: MIT
 * The digest of a policy: see digest.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "digest.h"

static void add(struct cf_digest *digest, const void *bytes, size_t len)
{
	SHA256Update(&digest->sha, bytes, len);
}

void cf_digest_begin(struct cf_digest *digest)
{
	static const char title[] = "cellflow policy 1\n";

	SHA256Init(&digest->sha);
	add(digest, title, sizeof(title) - 1);
}

/* The length in front keeps what one part ends with apart from what the next begins with. */
static void add_head(struct cf_digest *digest, const char *what, size_t len)
{
	char head[64];

	add(digest, head, (size_t)snprintf(head, sizeof(head), "%s %zu\n", what, len));
}

void cf_digest_part(struct cf_digest *digest, const char *what, const void *bytes, size_t len)
{
	add_head(digest, what, len);
	add(digest, bytes, len);
	add(digest, "\n", 1);
}

static void add_arg(struct cf_digest *digest, const char *name, const char *value)
{
	add_head(digest, "arg", strlen(name) + 1 + strlen(value));
	add(digest, name, strlen(name));
	add(digest, "=", 1);
	add(digest, value, strlen(value));
	add(digest, "\n", 1);
}

void cf_digest_args(struct cf_digest *digest, const char *const *args)
{
	const char *done = NULL; /* names up to this one are in */

	for (;;) {
		const char *const *next = NULL;

		/* Few enough that sorting them is not worth its memory. */
		for (const char *const *at = args; at && at[0]; at += 2)
			if ((!done || strcmp(at[0], done) > 0) && (!next || strcmp(at[0], next[0]) <= 0))
				next = at;
		if (!next)
			return;
		add_arg(digest, next[0], next[1]);
		done = next[0];
	}
}

void cf_digest_end(struct cf_digest *digest, char *text)
{
	uint8_t sum[SHA256_DIGEST_LENGTH];
	int used = sprintf(text, "sha256:");

	SHA256Final(sum, &digest->sha);
	for (size_t i = 0; i < sizeof(sum); i++)
		used += sprintf(text + used, "%02x", sum[i]);
}
