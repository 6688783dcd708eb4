/* SPDX-License-Identifier: MIT
 *
 * Asks the kernel whether anybody has a filter on an interface's clsact qdisc; changes nothing.
 */
#ifndef CF_TC_DUMP_H
#define CF_TC_DUMP_H

/* 1: there is a filter, of any kind, on either side; 0: none; -errno. For the calling thread's namespace. */
int cf_tc_clsact_used(int ifindex);
#endif
