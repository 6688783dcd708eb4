/* SPDX-License-Identifier: MIT
 * Captures are opened and closed, and what is known of their files: see capture.h. */
#include <stdlib.h>
#include <string.h>
#include "capture_link.h"
#include "capture_state.h"

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int settle(struct cf_capture *capture, struct cf_error *error)
{
	struct cf_capture_options *options = &capture->options;

	if (!options->cell_count)
		options->cell_count = 1;
	for (uint32_t i = 0; i < options->cell_count; i++)
		if (!options->cells[i][0])
			snprintf(options->cells[i], CF_NAME_LEN, "%.*s", CF_NAME_LEN - 1,
				 base_name(capture->files[0].path));
	capture->use_way = 1;
	for (uint32_t i = 0; i < capture->file_count; i++) {
		int link = capture->files[i].link_type;

		if (link != DLT_LINUX_SLL && link != DLT_LINUX_SLL2)
			capture->use_way = 0;
		for (uint32_t side = 0; side < options->side_count && !cf_link_has_mac(link); side++)
			if (!options->sides[side].family)
				return cf_fail(error, CF_FAIL_USAGE, 0,
					       "--cell-mac: packets of %s have no MAC addresses (link type %s): use "
					       "--cell-net",
					       capture->files[i].path, pcap_datalink_val_to_name(link));
	}
	return 0;
}

static struct cf_capture *new_capture(const struct cf_capture_options *options, struct cf_error *error)
{
	struct cf_capture *capture = calloc(1, sizeof(*capture));

	if (!capture || !(capture->room = malloc(CF_FRAME_BATCH_MAX))) {
		free(capture);
		cf_fail(error, CF_FAIL_INTERNAL, 0, "no memory to read captures with");
		return NULL;
	}
	if (options)
		capture->options = *options;
	return capture;
}

/* Once the files are open. */
static struct cf_capture *ready(struct cf_capture *capture, struct cf_error *error)
{
	if (settle(capture, error) < 0 ||
	    cf_capture_flows_init(&capture->flows, &capture->options, &capture->numbers, error) < 0) {
		cf_capture_close(capture);
		return NULL;
	}
	cf_capture_merge_begin(capture);
	return capture;
}

struct cf_capture *cf_capture_open(const char *const *paths, uint32_t count, const struct cf_capture_options *options,
				   struct cf_error *error)
{
	struct cf_capture *capture;

	if (count == 0 || count > CF_CAPTURE_FILES) {
		cf_fail(error, CF_FAIL_USAGE, 0, "%u captures: want 1 to %d (mergecap makes one of several)", count,
			CF_CAPTURE_FILES);
		return NULL;
	}
	capture = new_capture(options, error);
	for (uint32_t i = 0; capture && i < count; i++) {
		capture->file_count++;
		if (cf_capture_file_open(&capture->files[i], paths[i], error) < 0) {
			cf_capture_close(capture);
			return NULL;
		}
	}
	return capture ? ready(capture, error) : NULL;
}

struct cf_capture *cf_capture_take(FILE *stream, const char *name, const struct cf_capture_options *options,
				   struct cf_error *error)
{
	struct cf_capture *capture = new_capture(options, error);

	if (!capture) {
		fclose(stream);
		return NULL;
	}
	capture->file_count = 1;
	if (cf_capture_file_take(&capture->files[0], stream, name, error) == 0)
		return ready(capture, error);
	cf_capture_close(capture);
	return NULL;
}

void cf_capture_close(struct cf_capture *capture)
{
	if (!capture)
		return;
	for (uint32_t i = 0; i < capture->file_count; i++)
		cf_capture_file_close(&capture->files[i]);
	cf_capture_flows_free(&capture->flows);
	free(capture->room);
	free(capture);
}

void cf_capture_times(struct cf_capture *capture, const struct cf_plan_flows *times)
{
	cf_capture_flows_times(&capture->flows, times);
}

const struct cf_capture_numbers *cf_capture_numbers(const struct cf_capture *capture)
{
	return &capture->numbers;
}

uint32_t cf_capture_file_count(const struct cf_capture *capture)
{
	return capture->file_count;
}

void cf_capture_file(const struct cf_capture *capture, uint32_t index, struct cf_capture_file_facts *facts)
{
	const struct cf_capture_file *file = &capture->files[index];

	*facts = (struct cf_capture_file_facts){
		.path = file->path,
		.link = pcap_datalink_val_to_name(file->link_type),
		.link_text = pcap_datalink_val_to_description(file->link_type),
		.link_type = file->link_type,
		.snaplen = (uint32_t)pcap_snapshot(file->pcap),
		.is_pcapng = file->is_pcapng,
		.is_nanoseconds = file->is_nanoseconds,
		.size = file->size,
		.packets = file->packets,
		.damage = file->damage[0] ? file->damage : NULL,
	};
}

uint64_t cf_capture_position(const struct cf_capture *capture)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < capture->file_count; i++) {
		off_t at = ftello(capture->files[i].stream);

		sum += at > 0 ? (uint64_t)at : 0;
	}
	return sum;
}

const char *cf_capture_cell(const struct cf_capture *capture, uint32_t index)
{
	return index < capture->options.cell_count ? capture->options.cells[index] : NULL;
}
