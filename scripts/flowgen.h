/* SPDX-License-Identifier: MIT
 *
 * What the two halves of flowgen share: the options, and the entry of each half. Both return an exit code.
 */
#ifndef FLOWGEN_H
#define FLOWGEN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
	FG_KINDS = 4,
	FG_PORTS_MAX = 1024,
	FG_PACKETS_MAX = 1024,
	FG_PAYLOAD_MAX = 1200, /* below every usual MTU: one send is one packet */
	FG_SOURCE_PORT_FIRST = 10240,
	FG_SOURCE_PORTS = 50000,
};

enum fg_kind { FG_TCP4, FG_UDP4, FG_TCP6, FG_UDP6 };
/* How the sender's TCP connections end: in order, reset by it, reset by the sink (--reset), not before it ends, or
 * without having begun: nobody answers. */
enum fg_end { FG_END_FIN, FG_END_RST, FG_END_SINK, FG_END_HOLD, FG_END_UNANSWERED };

struct fg_options {
	bool serve;
	bool reset; /* the sink resets a connection once it has read from it */
	bool firewalled; /* a flow that the cell's own firewall refuses was sent as well */
	enum fg_end end;
	uint32_t seed;
	uint32_t repeat; /* connections of each TCP flow, one after another */
	uint64_t flows; /* over all kinds together */
	uint32_t packets; /* with payload, for each flow */
	uint32_t payload; /* bytes in each of them */
	uint32_t rate; /* flows in a second; 0: as fast as it goes */
	uint32_t seconds; /* when to give up */
	uint16_t port_base;
	uint32_t ports;
	const char *to4, *to6;
	uint32_t kinds; /* entries of `mix` */
	enum fg_kind mix[FG_KINDS];
	FILE *list; /* NULL: not asked for */
};

int fg_send(const struct fg_options *options);
int fg_serve(const struct fg_options *options);

/* Print "flowgen: ..." to stderr; returns -1. `err` 0: no errno words. */
__attribute__((format(printf, 2, 3))) int fg_fail(int err, const char *format, ...);
uint64_t fg_now_ns(void);
#endif
