/* SPDX-License-Identifier: MIT
 *
 * What the kernel tells over rtnetlink of an interface in the calling thread's namespace, for the report: the link, and
 * the filters on its clsact qdisc. Asks only. What it means is doctor_look.c's.
 */
#ifndef CF_DOCTOR_LINK_H
#define CF_DOCTOR_LINK_H
#include "doctor.h"

struct cf_doctor_link {
	unsigned int flags; /* IFF_* */
	unsigned int type; /* ARPHRD_* */
	int under; /* index of the peer (veth) or the lower interface; 0: none */
	int under_netns; /* id, in this namespace's numbering, of the one that is in; -1: this one */
	uint32_t xdp_id; /* of its XDP program; 0: none */
	char kind[CF_DOCTOR_WORD_LEN]; /* "veth", "tun", ...; "": hardware or loopback */
	char qdiscs[CF_DOCTOR_WORD_LEN]; /* "noqueue, clsact" */
};

/* 0, or -errno. */
int cf_doctor_link_get(int ifindex, struct cf_doctor_link *link);

/* Append to `hook` the filters of its direction, in the order of their preference. 0, or -errno. */
int cf_doctor_link_filters(int ifindex, struct cf_doctor_hook *hook);

/* The place of one more program; NULL: it is counted as left out. */
struct cf_doctor_program *cf_doctor_hook_place(struct cf_doctor_hook *hook);
#endif
