/* SPDX-License-Identifier: MIT
 *
 * flowgen: makes a known number of flows with real sockets, and is its own sink on the other side. What it
 * says it sent is what it sent, so a test can hold a counter against it. Options only; flowgen_send.c and
 * flowgen_serve.c do the work.
 */
#include "flowgen.h"
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static const char usage_text[] =
	"usage: flowgen --to4 ADDR --to6 ADDR [options]      send, then print one JSON line\n"
	"       flowgen --serve [options]                    be the sink; prints a line once it is ready\n"
	"  --flows N          distinct flows over the whole mix (default 4)\n"
	"  --mix LIST         kinds, of tcp4,udp4,tcp6,udp6 (default: all four)\n"
	"  --packets N        packets with payload for each flow (default 1, at most 1024)\n"
	"  --payload BYTES    payload of each packet (default 64, 1 to 1200)\n"
	"  --port-base P      first destination port (default 9000)\n"
	"  --ports K          destination ports, the same for sender and sink (default 16, at most 1024)\n"
	"  --rate N           flows in a second (default: as fast as it goes)\n"
	"  --seed N           chooses the source ports and the payload (default 1)\n"
	"  --list FILE        one line for each flow: protocol source port destination port packets\n"
	"  --end HOW          of TCP connections: fin (default), rst, sink (its --reset is waited for), hold: left "
	"open,\n"
	"                     until the time is over or a signal comes, or unanswered: so are their SYNs\n"
	"  --repeat N         TCP connections of each flow, one after another (default 1); wants --end rst or sink\n"
	"  --reset            sink: reset a TCP connection once there was something to read\n"
	"  --firewalled       go on where the cell's own firewall refuses, and count that flow as sent\n"
	"  --seconds N        give up after this time (default 60)\n"
	"The sink also ends on SIGTERM, on SIGINT, and when its standard input is a pipe that closes.\n";

int fg_fail(int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("flowgen: ", stderr);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, err ? ": %s\n" : "\n", strerror(err));
	return -1;
}

uint64_t fg_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int number_parse(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || *out < min || *out > max)
		return fg_fail(0, "--%s: \"%s\" is not a number from %llu to %llu", name, text, (unsigned long long)min,
			       (unsigned long long)max);
	return 0;
}

static int mix_parse(char *text, struct fg_options *o)
{
	static char *const names[] = { "tcp4", "udp4", "tcp6", "udp6", NULL };
	uint32_t seen = 0;
	char *value;

	for (o->kinds = 0; *text; o->kinds++) {
		char *word = text;
		int kind = getsubopt(&text, names, &value);

		if (kind < 0 || value || (seen & (1u << kind)))
			return fg_fail(0, "--mix: \"%s\": want each of tcp4,udp4,tcp6,udp6 at most once", word);
		seen |= 1u << kind;
		o->mix[o->kinds] = (enum fg_kind)kind;
	}
	return o->kinds ? 0 : fg_fail(0, "--mix: names no kind");
}

static int end_parse(char *text, struct fg_options *o)
{
	static char *const names[] = { "fin", "rst", "sink", "hold", "unanswered", NULL };
	char *value, *word = text;
	int end = getsubopt(&text, names, &value);

	if (end < 0 || value || *text)
		return fg_fail(0, "--end: \"%s\": want fin, rst, sink, hold or unanswered", word);
	o->end = (enum fg_end)end;
	return 0;
}

static const struct option long_options[] = {
	{ "serve", no_argument, NULL, 's' },
	{ "help", no_argument, NULL, 'h' },
	{ "firewalled", no_argument, NULL, 'w' },
	{ "reset", no_argument, NULL, 'x' },
	{ "end", required_argument, NULL, 'd' },
	{ "repeat", required_argument, NULL, 'n' },
	{ "mix", required_argument, NULL, 'm' },
	{ "to4", required_argument, NULL, '4' },
	{ "to6", required_argument, NULL, '6' },
	{ "list", required_argument, NULL, 'l' },
	{ "flows", required_argument, NULL, 'f' },
	{ "packets", required_argument, NULL, 'p' },
	{ "payload", required_argument, NULL, 'y' },
	{ "port-base", required_argument, NULL, 'b' },
	{ "ports", required_argument, NULL, 'k' },
	{ "rate", required_argument, NULL, 'r' },
	{ "seed", required_argument, NULL, 'e' },
	{ "seconds", required_argument, NULL, 't' },
	{ NULL, 0, NULL, 0 },
};

static int number_set(struct fg_options *o, int option, const char *name, const char *text)
{
	uint64_t n;

#define FIELD(letter, field, min, max)                                                                                 \
	case letter:                                                                                                   \
		if (number_parse(name, text, min, max, &n))                                                            \
			return -1;                                                                                     \
		o->field = n;                                                                                          \
		return 0
	switch (option) {
		FIELD('f', flows, 1, 50000000);
		FIELD('p', packets, 1, FG_PACKETS_MAX);
		FIELD('y', payload, 1, FG_PAYLOAD_MAX);
		FIELD('b', port_base, 1, 65535);
		FIELD('k', ports, 1, FG_PORTS_MAX);
		FIELD('r', rate, 1, 10000000);
		FIELD('e', seed, 0, UINT32_MAX);
		FIELD('n', repeat, 1, 1000000);
		FIELD('t', seconds, 1, 3600);
	}
#undef FIELD
	return -1;
}

static int option_set(struct fg_options *o, int option, const char *name)
{
	switch (option) {
	case 's':
		o->serve = true;
		return 0;
	case 'w':
		o->firewalled = true;
		return 0;
	case 'x':
		o->reset = true;
		return 0;
	case 'd':
		return end_parse(optarg, o);
	case 'm':
		return mix_parse(optarg, o);
	case '4':
		o->to4 = optarg;
		return 0;
	case '6':
		o->to6 = optarg;
		return 0;
	case 'l':
		o->list = fopen(optarg, "we");
		return o->list ? 0 : fg_fail(errno, "--list: %s", optarg);
	case '?':
		return -1;
	}
	return number_set(o, option, name, optarg);
}

static int options_check(const struct fg_options *o)
{
	if (o->port_base + o->ports > 65536)
		return fg_fail(0, "--port-base and --ports reach beyond port 65535");
	/* After a FIN the tuple stays in TIME_WAIT, and cannot be used again for a minute. */
	if (o->repeat > 1 && o->end != FG_END_RST && o->end != FG_END_SINK)
		return fg_fail(0, "--repeat wants --end rst or sink");
	for (uint32_t i = 0; !o->serve && i < o->kinds; i++) {
		bool six = o->mix[i] == FG_TCP6 || o->mix[i] == FG_UDP6;

		if (!(six ? o->to6 : o->to4))
			return fg_fail(0, "the mix needs --to%c ADDR", six ? '6' : '4');
	}
	/* Beyond this a source port would come round again and a flow would no longer be distinct. */
	if (!o->serve && o->flows / o->kinds >= (uint64_t)FG_SOURCE_PORTS * o->ports)
		return fg_fail(0, "--flows: too many for %u destination ports; raise --ports", o->ports);
	return 0;
}

/* A descriptor for each connection that is open at the same time. */
static void files_raise(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv)
{
	struct fg_options o = { .flows = 4,
				.packets = 1,
				.payload = 64,
				.seconds = 60,
				.seed = 1,
				.repeat = 1,
				.port_base = 9000,
				.ports = 16,
				.kinds = FG_KINDS,
				.mix = { FG_TCP4, FG_UDP4, FG_TCP6, FG_UDP6 } };
	int option, index = 0, status;

	while ((option = getopt_long(argc, argv, "", long_options, &index)) != -1) {
		if (option == 'h') {
			fputs(usage_text, stdout);
			return 0;
		}
		if (option_set(&o, option, long_options[index].name))
			return 2;
	}
	if (optind != argc) {
		fg_fail(0, "unexpected argument \"%s\"; see --help", argv[optind]);
		return 2;
	}
	if (options_check(&o))
		return 2;
	files_raise();
	status = o.serve ? fg_serve(&o) : fg_send(&o);
	if (o.list && fclose(o.list)) {
		fg_fail(errno, "--list");
		status = 1;
	}
	return status;
}
