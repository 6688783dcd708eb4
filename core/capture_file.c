/* SPDX-License-Identifier: MIT
 * One capture file: see capture_file.h. libpcap bounds what it allocates for a packet (16 MiB at the most), whatever
 * the lengths in the file say. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "capture.h"
#include "capture_file.h"
#include "capture_link.h"

#define NS_PER_SECOND UINT64_C(1000000000)
#define SECONDS_MAX (INT64_MAX / 1000000000 - 1)

enum { MAGIC_LEN = 4 };

static const uint8_t pcapng_magic[MAGIC_LEN] = { 0x0a, 0x0d, 0x0d, 0x0a };
/* Seconds and microseconds, seconds and nanoseconds, and a patched libpcap of long ago; in both byte orders. */
static const uint8_t pcap_magics[][MAGIC_LEN] = {
	{ 0xa1, 0xb2, 0xc3, 0xd4 }, { 0xd4, 0xc3, 0xb2, 0xa1 }, { 0xa1, 0xb2, 0x3c, 0x4d },
	{ 0x4d, 0x3c, 0xb2, 0xa1 }, { 0xa1, 0xb2, 0xcd, 0x34 }, { 0x34, 0xcd, 0xb2, 0xa1 },
};

static int is_nanoseconds(const uint8_t *magic)
{
	return memcmp(magic, pcap_magics[2], MAGIC_LEN) == 0 || memcmp(magic, pcap_magics[3], MAGIC_LEN) == 0;
}

int cf_capture_is_magic(const void *bytes, size_t len)
{
	if (len < MAGIC_LEN)
		return 0;
	for (size_t i = 0; i < sizeof(pcap_magics) / sizeof(pcap_magics[0]); i++)
		if (memcmp(bytes, pcap_magics[i], MAGIC_LEN) == 0)
			return 1;
	return memcmp(bytes, pcapng_magic, MAGIC_LEN) == 0;
}

static int open_path(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* O_NONBLOCK: a FIFO must not hang us */
}

int cf_capture_is(const char *path)
{
	int fd = open_path(path), is = 0;
	uint8_t magic[MAGIC_LEN];
	struct stat st;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && pread(fd, magic, MAGIC_LEN, 0) == MAGIC_LEN)
		is = cf_capture_is_magic(magic, MAGIC_LEN);
	close(fd);
	return is;
}

static int refuse(const char *path, int err, const char *what, struct cf_error *error)
{
	return cf_fail(error, CF_FAIL_RECORDING, err, "%s: %s", path, what);
}

/* What people have that is nearly a capture. */
static const char *foreign(const uint8_t *bytes, size_t len)
{
	static const uint8_t zstd[MAGIC_LEN] = { 0x28, 0xb5, 0x2f, 0xfd };

	if (len == 0)
		return "is empty";
	if (len >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b)
		return "is compressed: unpack it with gunzip first";
	if (len >= MAGIC_LEN && memcmp(bytes, zstd, MAGIC_LEN) == 0)
		return "is compressed: unpack it with unzstd first";
	return "is no capture: neither pcap nor pcapng";
}

static int look_at_magic(struct cf_capture_file *file, struct cf_error *error)
{
	uint8_t magic[MAGIC_LEN];
	size_t len = fread(magic, 1, sizeof(magic), file->stream);

	if (!cf_capture_is_magic(magic, len))
		return refuse(file->path, EINVAL, foreign(magic, len), error);
	file->is_pcapng = memcmp(magic, pcapng_magic, MAGIC_LEN) == 0;
	file->is_nanoseconds = !file->is_pcapng && is_nanoseconds(magic);
	if (fseek(file->stream, 0, SEEK_SET) < 0)
		return refuse(file->path, errno, strerror(errno), error);
	return 0;
}

static int check_link(const struct cf_capture_file *file, struct cf_error *error)
{
	const char *name = pcap_datalink_val_to_name(file->link_type);

	if (cf_link_is_known(file->link_type))
		return 0;
	return cf_fail(error, CF_FAIL_RECORDING, EINVAL, "%s: link type %d (%s) cannot be read; can be: %s", file->path,
		       file->link_type, name ? name : "unknown", cf_link_known());
}

int cf_capture_file_take(struct cf_capture_file *file, FILE *stream, const char *path, struct cf_error *error)
{
	char why[PCAP_ERRBUF_SIZE] = "";

	file->stream = stream;
	file->path = strdup(path);
	if (!file->path)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "%s: no memory to read the capture with", path);
	if (look_at_magic(file, error) < 0)
		return -1;
	file->pcap = pcap_fopen_offline_with_tstamp_precision(stream, PCAP_TSTAMP_PRECISION_NANO, why);
	if (!file->pcap)
		return refuse(path, EINVAL, why, error);
	file->link_type = pcap_datalink(file->pcap);
	return check_link(file, error);
}

static int open_stream(const char *path, struct stat *st, FILE **stream, struct cf_error *error)
{
	int fd = open_path(path);
	const char *what = NULL;

	if (fd < 0)
		return refuse(path, errno, strerror(errno), error);
	if (fstat(fd, st) < 0)
		what = strerror(errno);
	else if (!S_ISREG(st->st_mode))
		what = S_ISDIR(st->st_mode)    ? "is a directory, want a capture"
		       : S_ISFIFO(st->st_mode) ? "is a FIFO, want a capture in a file"
					       : "is no regular file, want a capture";
	if (!what && !(*stream = fdopen(fd, "rb")))
		what = strerror(errno);
	if (!what)
		return 0;
	close(fd);
	return refuse(path, EINVAL, what, error);
}

int cf_capture_file_open(struct cf_capture_file *file, const char *path, struct cf_error *error)
{
	FILE *stream = NULL;
	struct stat st;

	if (open_stream(path, &st, &stream, error) < 0)
		return -1;
	file->size = (uint64_t)st.st_size;
	return cf_capture_file_take(file, stream, path, error);
}

/* Seconds of pcap are 32 bits without a sign, which libpcap takes for one after 2038; pcapng has room for the age of
 * the universe. */
static uint64_t time_of(const struct cf_capture_file *file, const struct timeval *tv)
{
	int64_t seconds = tv->tv_sec, ns = tv->tv_usec; /* by PCAP_TSTAMP_PRECISION_NANO */

	if (!file->is_pcapng)
		seconds = (uint32_t)seconds;
	if (seconds < 0 || seconds > SECONDS_MAX || ns < 0 || ns >= (int64_t)NS_PER_SECOND)
		return 0;
	return (uint64_t)seconds * NS_PER_SECOND + (uint64_t)ns;
}

int cf_capture_file_next(struct cf_capture_file *file)
{
	struct pcap_pkthdr *header;
	const u_char *bytes;
	int rc;

	if (file->damage[0])
		return 0;
	rc = pcap_next_ex(file->pcap, &header, &bytes);
	if (rc == PCAP_ERROR_BREAK)
		return 0;
	if (rc != 1) {
		snprintf(file->damage, sizeof(file->damage), "%s", pcap_geterr(file->pcap));
		return 0;
	}
	file->packets++;
	file->packet = (struct cf_capture_packet){ bytes, header->caplen,
						   header->len > header->caplen ? header->len : header->caplen,
						   time_of(file, &header->ts) };
	return 1;
}

void cf_capture_file_close(struct cf_capture_file *file)
{
	if (file->pcap)
		pcap_close(file->pcap); /* and the stream */
	else if (file->stream)
		fclose(file->stream);
	free(file->path);
	memset(file, 0, sizeof(*file));
}
