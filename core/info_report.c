/* SPDX-License-Identifier: MIT
 * What is in a recording, as lines for people and as one JSON object; see info.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "info.h"
#include "json.h"
#include "names.h"

enum {
	JSON_LEN = 16 << 20, /* more than all texts, every byte of them escaped; what is not written costs nothing */
};

static const struct {
	uint32_t text;
	const char *name;
} texts[] = {
	{ CF_META_VERSION, "cellflow" },
	{ CF_META_HOST, "host" },
	{ CF_META_KERNEL, "kernel" },
	{ CF_META_POLICY_FILE, "policy_file" },
	{ CF_META_POLICY_DIGEST, "policy_digest" },
	{ CF_META_RUN_ID, "run_id" },
	{ CF_META_KEYSET_ID, "keyset_id" },
	{ CF_META_ISSUER_KID, "issuer_kid" },
	{ CF_META_CORRELATION_ID, "correlation_id" },
};

enum { TEXT_COUNT = sizeof(texts) / sizeof(texts[0]) };

static const char *state(const struct cf_info *info)
{
	return info->damage && !info->meta_bytes ? "unreadable"
	       : info->damage			 ? "damaged"
	       : !info->is_ended		 ? "not_ended"
	       : info->continues		 ? "continues"
						 : "ended";
}

static double seconds(const struct cf_info *info)
{
	return (double)(info->numbers.last_ns - info->numbers.first_ns) / 1e9;
}

/* Whatever is in the file: no byte of it may command a terminal. */
static void print_text(FILE *to, const char *text)
{
	for (; *text; text++) {
		unsigned char byte = (unsigned char)*text;

		if (byte < 0x20 || byte >= 0x7f)
			fprintf(to, "\\x%02x", byte);
		else
			fputc(byte, to);
	}
}

static void print_named(FILE *to, const char *name, const char *text)
{
	fprintf(to, "  %-14s  ", name);
	print_text(to, text);
	fputc('\n', to);
}

static void print_meta(const struct cf_info *info, FILE *to)
{
	fprintf(to, "  %-14s  %016" PRIx64 ", part %u\n", "recording", info->meta.recording, info->meta.part);
	for (int i = 0; i < TEXT_COUNT; i++)
		if (info->meta.texts[texts[i].text])
			print_named(to, texts[i].name, info->meta.texts[texts[i].text]);
	for (int i = 0; info->meta.args[i]; i += 2) {
		fprintf(to, "  %-14s  ", "arg");
		print_text(to, info->meta.args[i]);
		fputc('=', to);
		print_text(to, info->meta.args[i + 1]);
		fputc('\n', to);
	}
	if (info->generations <= 1)
		return;
	fprintf(to, "  %-14s  %u, the last one %u, ", "generations", info->generations, info->last_generation);
	print_text(to, info->digest[0] ? info->digest : "without a digest");
	fputc('\n', to);
}

static void print_time(const struct cf_info *info, FILE *to)
{
	char first[CF_TIME_TEXT_LEN], last[CF_TIME_TEXT_LEN];

	if (info->has_clock) {
		cf_reader_time_text(info->numbers.first_ns, info->first_offset_ns, first);
		cf_reader_time_text(info->numbers.last_ns, info->offset_ns, last);
		fprintf(to, "  %-14s  %s\n  %-14s  %s\n", "first", first, "last", last);
	}
	fprintf(to, "  %-14s  %.3f s\n", "duration", seconds(info));
}

static void print_counts(FILE *to, const char *name, const uint64_t *counts, uint32_t count,
			 const char *(*word)(uint32_t number))
{
	const char *comma = "";

	fprintf(to, "  %-14s  ", name);
	for (uint32_t i = 1; i < count; i++) {
		if (!counts[i])
			continue;
		fprintf(to, "%s%s %" PRIu64, comma, word(i), counts[i]);
		comma = ", ";
	}
	fputs(*comma ? "\n" : "none\n", to);
}

static void print_cells(const struct cf_info *info, FILE *to)
{
	for (uint32_t i = 0; i < info->cell_count; i++) {
		fprintf(to, "  %-14s  ", "cell");
		print_text(to, info->cells[i].name);
		if (info->cells[i].interface[0])
			fputs(", ", to);
		print_text(to, info->cells[i].interface);
		fprintf(to, ": %" PRIu64 " event%s\n", info->cells[i].events, info->cells[i].events == 1 ? "" : "s");
	}
	if (info->of_no_cell)
		fprintf(to, "  %-14s  %" PRIu64 " event(s) of cells that are not named\n", "cell", info->of_no_cell);
}

int cf_info_print(const struct cf_info *info, const char *path, FILE *to)
{
	const struct cf_reader_numbers *numbers = &info->numbers;

	print_text(to, path);
	fprintf(to, ": recording, version %u.%u, %s\n", info->major, info->minor,
		info->damage	  ? "DAMAGED: what follows is what could be read"
		: !info->is_ended ? "without an end: what wrote it was killed, or still writes"
		: info->continues ? "whole, goes on in the next part"
				  : "whole");
	print_meta(info, to);
	print_time(info, to);
	fprintf(to, "  %-14s  %" PRIu64 " in %" PRIu64 " batches\n", "events", numbers->events, numbers->batches);
	print_counts(to, "by kind", info->kinds, CF_KIND_LOGGED + 1, cf_name_kind);
	print_counts(to, "by source", info->sources, CF_SOURCE_REPLAY + 1, cf_name_source);
	print_cells(info, to);
	print_counts(to, "lost", info->losses, CF_LOSSES, cf_name_loss);
	fprintf(to, "  %-14s  %" PRIu64 " bytes in %" PRIu64 " blocks, of %" PRIu64 " bytes of frames", "size",
		numbers->file_bytes, numbers->blocks, numbers->raw_bytes);
	if (numbers->events)
		fprintf(to, ", %.1f bytes an event", (double)numbers->file_bytes / (double)numbers->events);
	fputc('\n', to);
	if (numbers->skipped)
		fprintf(to, "  %-14s  %" PRIu64 " frames of a later version\n", "passed over", numbers->skipped);
	return fflush(to) == 0 && !ferror(to) ? 0 : -1;
}

static void put_name(struct cf_json *json, const char *name)
{
	cf_json_literal(json, ",\"");
	cf_json_bytes(json, name, strlen(name));
	cf_json_literal(json, "\":");
}

static void put_text(struct cf_json *json, const char *name, const char *text)
{
	if (text && text[0])
		cf_json_member_text(json, name, text, strlen(text));
}

static void put_number(struct cf_json *json, const char *name, uint64_t value)
{
	put_name(json, name);
	cf_json_u64(json, value);
}

static void put_decimal(struct cf_json *json, const char *name, int digits, double value)
{
	char text[64];

	put_name(json, name);
	cf_json_bytes(json, text, (size_t)snprintf(text, sizeof(text), "%.*f", digits, value));
}

static void put_counts(struct cf_json *json, const char *name, const uint64_t *counts, uint32_t count,
		       const char *(*word)(uint32_t number))
{
	const char *comma = "";

	put_name(json, name);
	cf_json_literal(json, "{");
	for (uint32_t i = 1; i < count; i++) {
		if (!counts[i])
			continue;
		cf_json_bytes(json, comma, strlen(comma));
		cf_json_text(json, word(i), strlen(word(i)));
		cf_json_literal(json, ":");
		cf_json_u64(json, counts[i]);
		comma = ",";
	}
	cf_json_literal(json, "}");
}

static void put_meta(struct cf_json *json, const struct cf_info *info)
{
	char text[32];

	snprintf(text, sizeof(text), "%u.%u", info->major, info->minor);
	put_text(json, "version", text);
	snprintf(text, sizeof(text), "%016" PRIx64, info->meta.recording);
	put_text(json, "recording", text);
	put_number(json, "part", info->meta.part);
	for (int i = 0; i < TEXT_COUNT; i++)
		put_text(json, texts[i].name, info->meta.texts[texts[i].text]);
	put_name(json, "args");
	cf_json_literal(json, "[");
	for (int i = 0; info->meta.args[i]; i++) {
		cf_json_bytes(json, i == 0 ? "[" : i % 2 ? "," : ",[", i == 0 || i % 2 ? 1 : 2);
		cf_json_text(json, info->meta.args[i], strlen(info->meta.args[i]));
		cf_json_bytes(json, "]", i % 2);
	}
	cf_json_literal(json, "]");
	put_number(json, "generation", info->meta.generation);
	put_number(json, "last_generation", info->last_generation);
	put_text(json, "last_policy_digest", info->digest);
	put_number(json, "generations", info->generations);
}

static void put_cells(struct cf_json *json, const struct cf_info *info)
{
	put_name(json, "cells");
	cf_json_literal(json, "[");
	for (uint32_t i = 0; i < info->cell_count; i++) {
		cf_json_bytes(json, ",", i > 0);
		cf_json_literal(json, "{\"cell_id\":");
		cf_json_text(json, info->cells[i].name, strlen(info->cells[i].name));
		put_text(json, "interface", info->cells[i].interface);
		put_text(json, "run_id", info->cells[i].run_id);
		put_number(json, "events", info->cells[i].events);
		cf_json_literal(json, "}");
	}
	cf_json_literal(json, "]");
	if (info->of_no_cell)
		put_number(json, "events_of_no_cell", info->of_no_cell);
}

static void put_contents(struct cf_json *json, const struct cf_info *info)
{
	const struct cf_reader_numbers *numbers = &info->numbers;
	char time[CF_TIME_TEXT_LEN];

	put_meta(json, info);
	if (info->has_clock) {
		cf_reader_time_text(numbers->first_ns, info->first_offset_ns, time);
		put_text(json, "first_time", time);
		cf_reader_time_text(numbers->last_ns, info->offset_ns, time);
		put_text(json, "last_time", time);
	}
	put_decimal(json, "duration_s", 9, seconds(info));
	put_number(json, "events", numbers->events);
	put_number(json, "batches", numbers->batches);
	put_counts(json, "by_kind", info->kinds, CF_KIND_LOGGED + 1, cf_name_kind);
	put_counts(json, "by_source", info->sources, CF_SOURCE_REPLAY + 1, cf_name_source);
	put_cells(json, info);
	put_counts(json, "lost", info->losses, CF_LOSSES, cf_name_loss);
	put_number(json, "blocks", numbers->blocks);
	put_number(json, "frames", numbers->frames);
	put_number(json, "skipped_frames", numbers->skipped);
	put_number(json, "readable_bytes", numbers->file_bytes);
	put_number(json, "raw_bytes", numbers->raw_bytes);
	if (numbers->events)
		put_decimal(json, "bytes_per_event", 2, (double)numbers->file_bytes / (double)numbers->events);
}

int cf_info_print_json(const struct cf_info *info, const char *path, FILE *to)
{
	char *text = malloc(JSON_LEN);
	struct cf_json json;
	int ret = -1;

	if (!text)
		return -1;
	cf_json_begin(&json, text, JSON_LEN);
	cf_json_literal(&json, "{\"file\":");
	cf_json_text(&json, path, strlen(path));
	put_text(&json, "state", state(info));
	put_text(&json, "error", info->error.text);
	if (info->file_size)
		put_number(&json, "file_bytes", info->file_size);
	if (info->meta_bytes)
		put_contents(&json, info);
	cf_json_literal(&json, "}\n");
	if (!json.overflow && fwrite(text, 1, (size_t)(json.at - text), to) == (size_t)(json.at - text))
		ret = fflush(to) == 0 ? 0 : -1;
	free(text);
	return ret;
}
