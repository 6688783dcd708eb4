/* SPDX-License-Identifier: MIT
 * What is in a capture, for people and as JSON: cf_capture_info and cf_capture_log of capture.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "capture.h"
#include "json.h"
#include "log.h"
#include "names.h"
#include "recording_read.h"

enum { JSON_LEN = 1 << 20 };

const char *cf_name_unparsed(uint32_t index)
{
	static const char *const words[CF_CAPTURE_UNPARSED] = { "not_ip", "truncated", "bad_header", "ext_too_deep",
								"vlan_too_deep" };

	return index < CF_CAPTURE_UNPARSED ? words[index] : NULL;
}

/* Everything of a capture, in the order in which it is shown. */
struct report {
	const char *path;
	struct cf_capture_file_facts file;
	struct cf_capture_numbers numbers;
	struct cf_error error; /* "": whole */
};

/* No byte of a file's name may command a terminal. */
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

static void print_time(const struct cf_capture_numbers *numbers, FILE *to)
{
	char first[CF_TIME_TEXT_LEN], last[CF_TIME_TEXT_LEN];

	if (!numbers->packets)
		return;
	cf_reader_time_text(numbers->first_ns, 0, first);
	cf_reader_time_text(numbers->last_ns, 0, last);
	fprintf(to, "  %-14s  %s\n  %-14s  %s\n  %-14s  %.3f s\n", "first", first, "last", last, "duration",
		(double)(numbers->last_ns - numbers->first_ns) / 1e9);
}

static void print_packets(const struct cf_capture_numbers *numbers, FILE *to)
{
	fprintf(to, "  %-14s  %" PRIu64 ", %" PRIu64 " bytes on the wire\n", "packets", numbers->packets,
		numbers->wire_bytes);
	fprintf(to, "  %-14s  %" PRIu64, "of IP", numbers->parsed);
	for (uint32_t i = 0; i < CF_CAPTURE_UNPARSED; i++)
		if (numbers->unparsed[i])
			fprintf(to, ", %s %" PRIu64, cf_name_unparsed(i), numbers->unparsed[i]);
	fprintf(to, "\n  %-14s  %" PRIu64 ", with %" PRIu64 " bytes of the network layer\n", "flows", numbers->flow_new,
		numbers->network_bytes);
	if (numbers->cut)
		fprintf(to, "  %-14s  %" PRIu64 " packets were captured without their last bytes\n", "cut",
			numbers->cut);
	if (numbers->backwards || numbers->misdated)
		fprintf(to,
			"  %-14s  %" PRIu64 " packets stamped earlier than one before, %" PRIu64 " without a time\n",
			"out of order", numbers->backwards, numbers->misdated);
}

static int print(const struct report *report, FILE *to)
{
	const struct cf_capture_file_facts *file = &report->file;

	print_text(to, report->path);
	fprintf(to, ": capture, %s, %s\n", file->is_pcapng ? "pcapng" : "pcap",
		report->error.text[0] ? "DAMAGED: what follows is what could be read" : "whole");
	fprintf(to, "  %-14s  %s (%s)\n", "link type", file->link, file->link_text);
	fprintf(to, "  %-14s  %u bytes of a packet\n", "snaplen", file->snaplen);
	if (!file->is_pcapng)
		fprintf(to, "  %-14s  %s\n", "stamps", file->is_nanoseconds ? "nanoseconds" : "microseconds");
	print_time(&report->numbers, to);
	print_packets(&report->numbers, to);
	return fflush(to) == 0 && !ferror(to) ? 0 : -1;
}

static void put_name(struct cf_json *json, const char *name)
{
	cf_json_literal(json, ",\"");
	cf_json_bytes(json, name, strlen(name));
	cf_json_literal(json, "\":");
}

static void put_number(struct cf_json *json, const char *name, uint64_t value)
{
	put_name(json, name);
	cf_json_u64(json, value);
}

static void put_numbers(struct cf_json *json, const struct cf_capture_numbers *numbers)
{
	const char *comma = "";
	char text[CF_TIME_TEXT_LEN];

	if (numbers->packets) {
		cf_reader_time_text(numbers->first_ns, 0, text);
		cf_json_member_text(json, "first_time", text, strlen(text));
		cf_reader_time_text(numbers->last_ns, 0, text);
		cf_json_member_text(json, "last_time", text, strlen(text));
	}
	put_number(json, "packets", numbers->packets);
	put_number(json, "wire_bytes", numbers->wire_bytes);
	put_number(json, "parsed", numbers->parsed);
	put_name(json, "unparsed");
	cf_json_literal(json, "{");
	for (uint32_t i = 0; i < CF_CAPTURE_UNPARSED; i++) {
		if (!numbers->unparsed[i])
			continue;
		cf_json_bytes(json, comma, strlen(comma));
		cf_json_text(json, cf_name_unparsed(i), strlen(cf_name_unparsed(i)));
		cf_json_literal(json, ":");
		cf_json_u64(json, numbers->unparsed[i]);
		comma = ",";
	}
	cf_json_literal(json, "}");
	put_number(json, "flows", numbers->flow_new);
	put_number(json, "network_bytes", numbers->network_bytes);
	put_number(json, "cut", numbers->cut);
	put_number(json, "backwards", numbers->backwards);
	put_number(json, "misdated", numbers->misdated);
}

static void put_file(struct cf_json *json, const struct report *report)
{
	const struct cf_capture_file_facts *file = &report->file;

	cf_json_member_text(json, "link_type", file->link, strlen(file->link));
	put_number(json, "snaplen", file->snaplen);
	if (!file->is_pcapng)
		put_number(json, "stamp_digits", file->is_nanoseconds ? 9 : 6);
	put_number(json, "file_bytes", file->size);
	put_numbers(json, &report->numbers);
}

static int print_json(const struct report *report, FILE *to)
{
	const struct cf_capture_file_facts *file = &report->file;
	const char *state = !file->path ? "unreadable" : report->error.text[0] ? "damaged" : "ended";
	char *text = malloc(JSON_LEN);
	struct cf_json json;
	int ret = -1;

	if (!text)
		return -1;
	cf_json_begin(&json, text, JSON_LEN);
	cf_json_literal(&json, "{\"file\":");
	cf_json_text(&json, report->path, strlen(report->path));
	cf_json_member_text(&json, "state", state, strlen(state));
	if (report->error.text[0])
		cf_json_member_text(&json, "error", report->error.text, strlen(report->error.text));
	if (file->path) {
		const char *format = file->is_pcapng ? "pcapng" : "pcap";

		cf_json_member_text(&json, "format", format, strlen(format));
		put_file(&json, report);
	}
	cf_json_literal(&json, "}\n");
	if (!json.overflow && fwrite(text, 1, (size_t)(json.at - text), to) == (size_t)(json.at - text))
		ret = fflush(to) == 0 ? 0 : -1;
	free(text);
	return ret;
}

void cf_capture_log(const struct cf_capture *capture)
{
	const struct cf_capture_numbers *numbers = cf_capture_numbers(capture);
	char unparsed[256] = "";
	size_t len = 0;

	for (uint32_t i = 0; i < CF_CAPTURE_UNPARSED; i++)
		if (numbers->unparsed[i])
			len += (size_t)snprintf(unparsed + len, sizeof(unparsed) - len, " + %" PRIu64 " %s",
						numbers->unparsed[i], cf_name_unparsed(i));
	cf_info("  packets   %" PRIu64 " in captures = %" PRIu64 " of IP%s; %" PRIu64 " of no cell, %" PRIu64
		" between two",
		numbers->packets, numbers->parsed, unparsed, numbers->foreign, numbers->between);
	if (numbers->backwards || numbers->misdated)
		cf_info("  order     %" PRIu64 " packets stamped earlier than one before, %" PRIu64
			" without a time: taken as of the time of the one before",
			numbers->backwards, numbers->misdated);
}

int cf_capture_info(const char *path, int as_json, FILE *to)
{
	struct report report = { .path = path };
	struct cf_capture *capture = cf_capture_open(&path, 1, NULL, &report.error);
	struct cf_frame frame;
	int rc = 0;

	if (capture) {
		while (cf_capture_next(capture, &frame, &report.error) > 0)
			;
		cf_capture_file(capture, 0, &report.file);
		report.numbers = *cf_capture_numbers(capture);
	}
	if (report.error.text[0])
		cf_error_log("%s", report.error.text);
	if (as_json)
		rc = print_json(&report, to);
	else if (capture)
		rc = print(&report, to);
	cf_capture_close(capture);
	if (rc < 0)
		cf_error_log("info: cannot write to stdout");
	return rc < 0 ? 1 : report.error.text[0] ? cf_failure_exit_code(report.error.kind) : 0;
}
