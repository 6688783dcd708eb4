// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tc program as it would be with the ring buffer's own way of waking its reader: every submit that finds it asleep.
 * Nothing else of it is changed. What scripts/bench compares our rationed wake-ups with.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define bpf_ringbuf_submit(data, flags) ((void)sizeof(flags), bpf_ringbuf_submit(data, 0))
#include "../cellflow.bpf.c"
