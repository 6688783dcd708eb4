/* SPDX-License-Identifier: MIT
 *
 * One capture file, read by libpcap: opened so that nothing hangs, its next packet, and what is wrong with it. Order
 * over several files and what the packets are is capture.c's.
 */
#ifndef CF_CAPTURE_FILE_H
#define CF_CAPTURE_FILE_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <pcap/pcap.h>
#include "error.h"

struct cf_capture_packet {
	const uint8_t *bytes; /* libpcap's, until the next one is read */
	uint32_t captured;
	uint32_t len; /* on the wire; not less than captured */
	uint64_t time_ns; /* since 1970; 0: no time that can be */
};

struct cf_capture_file {
	pcap_t *pcap; /* owned */
	FILE *stream; /* pcap's */
	char *path;
	int link_type;
	uint64_t size;
	uint32_t is_pcapng, is_nanoseconds;
	uint64_t packets; /* read so far */
	char damage[384]; /* "": none */
	struct cf_capture_packet packet;
};

/* 0, or -1 with CF_FAIL_RECORDING. To be closed also after -1; zeroed before. */
int cf_capture_file_open(struct cf_capture_file *file, const char *path, struct cf_error *error);
/* The stream is owned from here on, also after -1. */
int cf_capture_file_take(struct cf_capture_file *file, FILE *stream, const char *path, struct cf_error *error);
/* 1: file->packet; 0: the end, or `damage` says why there is no more. */
int cf_capture_file_next(struct cf_capture_file *file);
void cf_capture_file_close(struct cf_capture_file *file); /* idempotent */
#endif
