/* SPDX-License-Identifier: MIT
 *
 * How many descriptors the supervisor may have open: each cell takes some, and the usual soft limit of 1024 is made for
 * programs that use select(2). Who opens them is not known here.
 */
#ifndef CF_DESCRIPTORS_H
#define CF_DESCRIPTORS_H
#include <stddef.h>

/* Raise the soft limit to the hard one. */
void cf_descriptors_raise(void);
/* " (limit of N open files; ...)", to stand behind the words of EMFILE; empty when the limit cannot be had. */
void cf_descriptors_advice(char *text, size_t size);
#endif
