/* SPDX-License-Identifier: MIT
 * Counting what is in a recording: see info.h. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>
#include "info.h"

struct cf_info *cf_info_new(void)
{
	return calloc(1, sizeof(struct cf_info));
}

void cf_info_free(struct cf_info *info)
{
	if (info)
		free(info->meta_bytes);
	free(info);
}

/* The cell of this name, made on first sight; its number from 1, or 0: there are too many. A name keeps its count over
 * reloads, which may give it another index. */
static uint16_t find_cell(struct cf_info *info, const struct cf_frame_cell *frame)
{
	uint32_t at = (uint32_t)XXH64(frame->name, strlen(frame->name), 0) % CF_INFO_HASH;
	struct cf_info_cell *cell;

	for (; info->by_hash[at]; at = (at + 1) % CF_INFO_HASH)
		if (strcmp(info->cells[info->by_hash[at] - 1].name, frame->name) == 0)
			return info->by_hash[at];
	if (info->cell_count == CF_INFO_CELLS)
		return 0;
	cell = &info->cells[info->cell_count++];
	memcpy(cell->name, frame->name, sizeof(cell->name));
	memcpy(cell->interface, frame->interface, sizeof(cell->interface));
	memcpy(cell->run_id, frame->run_id, sizeof(cell->run_id));
	info->by_hash[at] = (uint16_t)info->cell_count;
	return info->by_hash[at];
}

static int take_meta(struct cf_info *info, const struct cf_frame *frame)
{
	struct cf_frame kept = *frame;
	struct cf_meta now;

	if (frame->type == CF_FRAME_META) {
		kept.bytes = info->meta_bytes = malloc(frame->len);
		if (!info->meta_bytes)
			return cf_fail(&info->error, CF_FAIL_INTERNAL, 0, "no memory to read a recording with");
		memcpy(info->meta_bytes, frame->bytes, frame->len);
		cf_frame_get_meta(&kept, &info->meta);
	}
	cf_frame_get_meta(frame, &now);
	memset(info->digest, 0, sizeof(info->digest));
	if (now.texts[CF_META_POLICY_DIGEST])
		strncpy(info->digest, now.texts[CF_META_POLICY_DIGEST], sizeof(info->digest) - 1);
	memset(info->by_index, 0, sizeof(info->by_index));
	info->last_generation = now.generation;
	info->generations++;
	return 0;
}

static void take_batch(struct cf_info *info, const struct cf_frame *frame)
{
	uint64_t now_ns;

	cf_frame_get_batch(frame, &now_ns, &info->batch);
	for (uint32_t i = 0; i < info->batch.count; i++) {
		const struct cf_event *event = &info->batch.events[i];
		uint16_t cell = info->by_index[event->cell];

		info->kinds[event->kind]++;
		info->sources[event->source]++;
		if (cell)
			info->cells[cell - 1].events++;
		else
			info->of_no_cell++;
	}
}

static void take_losses(struct cf_info *info, const struct cf_frame *frame)
{
	const struct cf_frame_loss *head = (const struct cf_frame_loss *)frame->bytes;
	const struct cf_loss *losses = (const struct cf_loss *)(head + 1);

	for (uint32_t i = 0; i < head->count; i++)
		info->losses[losses[i].what] += losses[i].lost;
}

static int take(struct cf_info *info, const struct cf_frame *frame)
{
	const struct cf_frame_cell *cell = (const struct cf_frame_cell *)frame->bytes;

	switch (frame->type) {
	case CF_FRAME_META:
	case CF_FRAME_GENERATION:
		return take_meta(info, frame);
	case CF_FRAME_CELL:
		info->by_index[cell->index] = find_cell(info, cell);
		break;
	case CF_FRAME_BATCH:
		take_batch(info, frame);
		break;
	case CF_FRAME_MOMENT:
		info->moments[((const struct cf_frame_moment *)frame->bytes)->moment]++;
		break;
	case CF_FRAME_LOSS:
		take_losses(info, frame);
		break;
	default: /* the reader knows clocks and the end */
		break;
	}
	return 0;
}

int cf_info_read(struct cf_info *info, const char *path)
{
	struct cf_reader reader;
	struct cf_frame frame;
	struct stat st;
	int rc = cf_reader_open(&reader, path, &info->error);

	if (rc == 0 && fstat(reader.fd, &st) == 0)
		info->file_size = (uint64_t)st.st_size;
	while (rc == 0 && (rc = cf_reader_next(&reader, &frame, &info->error)) > 0) {
		info->major = reader.block.major;
		info->minor = reader.block.minor;
		rc = take(info, &frame);
	}
	info->numbers = reader.numbers;
	info->damage = reader.damage;
	info->is_ended = reader.is_ended;
	info->continues = reader.continues;
	info->has_clock = reader.has_clock;
	info->first_offset_ns = reader.first_offset_ns;
	info->offset_ns = reader.offset_ns;
	cf_reader_close(&reader);
	return rc;
}
