// SPDX-License-Identifier: MIT
/*
 * Any bytes as a recording, in one of three ways, by the first byte: as a file; as a file whose checksums are put right
 * first, so that what is behind them is reached; as the frames of a block. What is handed out holds together.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>
#include "recording_pack.h"
#include "recording_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
	if (!holds)
		abort();
}

static void use_frame(const struct cf_frame *frame)
{
	static struct cf_batch batch;
	struct cf_meta meta;
	uint64_t now_ns;

	require(!cf_frame_check(frame));
	if (frame->type == CF_FRAME_META || frame->type == CF_FRAME_GENERATION) {
		cf_frame_get_meta(frame, &meta);
		for (int i = 1; i < CF_META_TEXTS; i++)
			require(!meta.texts[i] || strlen(meta.texts[i]) < frame->len);
		for (int i = 0; meta.args[i]; i++)
			require(strlen(meta.args[i]) < frame->len);
	}
	if (frame->type != CF_FRAME_BATCH)
		return;
	cf_frame_get_batch(frame, &now_ns, &batch);
	require(batch.count >= 1 && batch.count <= CF_BATCH_MAX);
	for (uint32_t i = 0; i < batch.count; i++) {
		const struct cf_event *event = &batch.events[i];

		require(event->kind >= CF_KIND_OPENED && event->kind <= CF_KIND_LOGGED && event->cell < CF_CELLS_MAX);
		require(memchr(event->prefix, 0, sizeof(event->prefix)) != NULL);
	}
}

static void read_file(const uint8_t *bytes, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct cf_error error = { 0 };
	struct cf_reader reader;
	struct cf_frame frame;
	uint64_t events = 0;
	int rc;

	require(fd >= 0 && write(fd, bytes, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
	require(cf_reader_take(&reader, fd, "fuzz", &error) == 0);
	while ((rc = cf_reader_next(&reader, &frame, &error)) > 0) {
		use_frame(&frame);
		events += cf_frame_events(&frame);
	}
	require(reader.numbers.events == events && reader.numbers.file_bytes <= size);
	require((rc < 0) == (reader.damage != CF_DAMAGE_NONE) && (rc < 0) == (error.text[0] != 0));
	cf_reader_close(&reader);
}

/* The data of each block are not compressed in the input: they are now, and lengths and checksums made to fit. What the
 * head says of frames and events stays as it is. */
static void read_corrected(const uint8_t *bytes, size_t size)
{
	uint8_t *file = malloc(64 * (sizeof(struct cf_block_head) + 8192)), *at = file;
	struct cf_block_head head;

	require(file != NULL);
	for (int block = 0; block < 64 && size > sizeof(head); block++) {
		uint8_t *start = at;
		size_t len;

		memcpy(&head, bytes, sizeof(head));
		bytes += sizeof(head);
		size -= sizeof(head);
		len = head.data_len % 4096 < size ? head.data_len % 4096 : size;
		at += sizeof(head);
		head.data_len = (uint32_t)ZSTD_compress(at, 8192, bytes, len, 1);
		head.data_hash = XXH64(at, head.data_len, 0);
		head.head_hash = XXH64(&head, offsetof(struct cf_block_head, head_hash), 0);
		memcpy(start, &head, sizeof(head));
		at += head.data_len;
		bytes += len;
		size -= len;
	}
	read_file(file, (size_t)(at - file));
	free(file);
}

/* In memory of exactly their length. Sound frames are the same after packing and unpacking. */
static void read_frames(const uint8_t *bytes, size_t size)
{
	uint8_t *raw = malloc(size ? size : 1), *packed = malloc(size + CF_PACK_HEAD), *back = malloc(size ? size : 1);
	struct cf_frame frame;
	int sound = 1, more;
	size_t at = 0;

	require(raw && packed && back);
	memcpy(raw, bytes, size);
	while ((more = cf_frame_next(raw, size, &at, &frame)) > 0)
		if (cf_frame_check(&frame))
			sound = 0;
		else
			use_frame(&frame);
	if (sound && more == 0) {
		cf_pack(raw, size, packed);
		require(cf_unpack(packed, size + CF_PACK_HEAD, back, size) == 0);
		require(memcmp(raw, back, size) == 0);
	}
	if (size >= CF_PACK_HEAD)
		(void)cf_unpack(raw, size, back, size - CF_PACK_HEAD);
	free(raw);
	free(packed);
	free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] == 0)
		read_file(data + 1, size - 1);
	else if (data[0] == 1)
		read_corrected(data + 1, size - 1);
	else
		read_frames(data + 1, size - 1);
	return 0;
}
