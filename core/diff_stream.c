/* SPDX-License-Identifier: MIT
 * A side's messages through a pipe: see diff_stream.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "diff_stream.h"
#include "intern.h"

static const uint8_t public_key[CF_SIPHASH_KEY_LEN] = "cellflow-difftxt";

void cf_diff_flush(struct cf_diff_writer *writer)
{
	size_t at = 0;

	while (at < writer->used) {
		ssize_t wrote = write(writer->fd, writer->buffer + at, writer->used - at);

		if (wrote < 0 && errno != EINTR)
			_exit(2);
		at += wrote > 0 ? (size_t)wrote : 0;
	}
	writer->used = 0;
}

void *cf_diff_put(struct cf_diff_writer *writer, uint32_t type, size_t len)
{
	struct cf_diff_head *head;

	len = (len + 7) & ~(size_t)7;
	if (writer->used + len > sizeof(writer->buffer))
		cf_diff_flush(writer);
	head = (struct cf_diff_head *)(void *)(writer->buffer + writer->used);
	memset(head, 0, len);
	head->len = (uint32_t)len;
	head->type = type;
	writer->used += len;
	return head;
}

static void put_text(struct cf_diff_writer *writer, uint32_t id)
{
	size_t len, shown;
	const char *bytes = cf_intern_text(id, &len);
	struct cf_diff_text *text;

	if (!bytes)
		len = 0;
	shown = len < CF_DIFF_SHOWN_MAX ? len : CF_DIFF_SHOWN_MAX;
	text = cf_diff_put(writer, CF_DIFF_TEXT, sizeof(*text) + shown);
	text->id = id;
	text->shown = (uint32_t)shown;
	text->len = len;
	cf_siphash128(public_key, len ? bytes : "", len, text->hash);
	if (shown)
		memcpy(text + 1, bytes, shown);
}

uint32_t cf_diff_tell(struct cf_diff_writer *writer, uint32_t text)
{
	if (text == 0 || (text <= CF_INTERN_NAME_MAX && writer->told[text]))
		return text;
	put_text(writer, text);
	if (text <= CF_INTERN_NAME_MAX)
		writer->told[text] = 1;
	return text;
}

/* 1: there are `want` bytes; 0: the stream ended before. */
static int fill(struct cf_diff_reader *reader, size_t want)
{
	if (reader->used - reader->at >= want)
		return 1;
	memmove(reader->buffer, reader->buffer + reader->at, reader->used - reader->at);
	reader->used -= reader->at;
	reader->at = 0;
	while (reader->used < want) {
		ssize_t got = read(reader->fd, reader->buffer + reader->used, sizeof(reader->buffer) - reader->used);

		if (got == 0 || (got < 0 && errno != EINTR))
			return 0;
		reader->used += got > 0 ? (size_t)got : 0;
	}
	return 1;
}

const struct cf_diff_head *cf_diff_get(struct cf_diff_reader *reader)
{
	const struct cf_diff_head *head;

	if (!fill(reader, sizeof(*head)))
		return NULL;
	head = (const struct cf_diff_head *)(const void *)(reader->buffer + reader->at);
	if (!fill(reader, head->len))
		return NULL;
	head = (const struct cf_diff_head *)(const void *)(reader->buffer + reader->at);
	reader->at += head->len;
	return head;
}
