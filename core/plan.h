/* SPDX-License-Identifier: MIT
 *
 * The plan: everything a policy file declares, as plain data. The worker fills it (from Lua, through ffi),
 * the supervisor checks it and carries it out. Same rules as event.h: Lua reads this text too.
 * Text fields are NUL-terminated; an empty one means "not given". No pointer crosses to the supervisor.
 */
#ifndef CF_PLAN_H
#define CF_PLAN_H
#include <stdint.h>

enum {
	CF_NAME_LEN = 64, /* bytes with the NUL, here and below */
	CF_PATH_LEN = 256,
	CF_IFNAME_LEN = 16,
	CF_TEXT_LEN = 256,
	CF_PLACE_LEN = 128, /* "file:line" */
	CF_CELLS_MAX = 4096,
	CF_OUTPUTS_MAX = 8,
};

/* What `limits` says when the policy does not. */
enum {
	CF_SLOW_MS_DEFAULT = 20,
	CF_STUCK_S_DEFAULT = 2,
	CF_MEMORY_MB_DEFAULT = 256,
};

/* What `limits` may say; 0 is in none of the ranges. */
enum {
	CF_SLOW_MS_MAX = 60000,
	CF_STUCK_S_MAX = 3600,
	CF_MEMORY_MB_MIN = 16,
	CF_MEMORY_MB_MAX = 65536,
};

struct cf_plan_limits { /* bounds on the policy itself, and on the run */
	uint64_t until_ns; /* time of day, since 1970, at which the run ends (--until); 0: none */
	uint32_t slow_ms; /* a batch that takes longer is slow */
	uint32_t stuck_s; /* a worker that does not come back for so long is stuck */
	uint32_t memory_mb; /* of the policy's Lua state */
	uint32_t interpreted; /* 1: nothing of the policy is compiled */
	uint32_t wants_lost; /* 1: a handler for lost events is declared */
	uint32_t pad0; /* zero */
};

enum cf_plan_hook { /* bits of cf_plan_cell.hooks */
		    CF_PLAN_EGRESS = 1,
		    CF_PLAN_INGRESS = 2,
};

enum cf_attach_mode {
	CF_ATTACH_AUTO = 0, /* tcx where the kernel has it, else clsact */
	CF_ATTACH_TCX = 1,
	CF_ATTACH_CLSACT = 2,
};

/* How the sources of a cell are chosen. */
enum cf_plan_sources {
	CF_SOURCES_AUTO = 0, /* ebpf; nflog when that fails */
	CF_SOURCES_EBPF = 1, /* bits from here on: ebpf alone */
	CF_SOURCES_NFLOG = 2,
	CF_SOURCES_BOTH = 3, /* joined per flow */
	CF_SOURCES_NOOP = 4, /* none: yields nothing */
};

/* Where the interface is that a program is attached to, or-ed. */
enum cf_plan_stand {
	CF_STAND_INSIDE = 1, /* in the cell: the cell's egress is the hook's */
	CF_STAND_PEER = 2, /* host side of the cell's veth: the cell's egress arrives as ingress */
	CF_STAND_TAP = 4, /* a microVM's tap, in the namespace that `netns` names: as for a peer */
};

/* Which events of a flow a policy is given: 1 << enum cf_kind, or-ed. */
enum {
	CF_EVENTS_DEFAULT = 1 << 1 | 1 << 4, /* opened, logged */
};

enum cf_idle { /* index into idle_s: after how long without a packet a flow counts as over */
	       CF_IDLE_TCP = 0,
	       CF_IDLE_UDP = 1,
	       CF_IDLE_ICMP = 2,
	       CF_IDLE_OTHER = 3,
	       CF_IDLE_COUNT = 4,
};

enum {
	CF_IDLE_TCP_S = 300,
	CF_IDLE_UDP_S = 60,
	CF_IDLE_ICMP_S = 30,
	CF_IDLE_OTHER_S = 60,
	CF_IDLE_S_MAX = 86400,
	CF_UPDATE_S = 10, /* no longer than CF_IDLE_S_MAX either */
	CF_CLOSED_LINGER_MS = 1000, /* quiet after FIN or RST before a flow is told as closed: its last packets come */
	CF_NFLOG_GROUP_DEFAULT = 100,
	CF_NFLOG_GROUP_MAX = 65535, /* and 0 is refused: the kernel's own log messages go there */
};

struct cf_plan_flows { /* of the run: all cells share one table */
	uint32_t idle_s[4]; /* by enum cf_idle */
	uint32_t update_s; /* interval of `updated` events; 0: none */
	uint32_t pad0; /* zero */
};

struct cf_plan_cell {
	int32_t pid; /* of a process in the cell; 0 when netns is given */
	uint32_t hooks; /* enum cf_plan_hook, or-ed */
	uint32_t attach; /* enum cf_attach_mode */
	uint32_t sources; /* enum cf_plan_sources */
	uint32_t stand; /* enum cf_plan_stand, or-ed; 0: inside */
	uint32_t nflog_group; /* 1..65535; 0: CF_NFLOG_GROUP_DEFAULT */
	uint32_t events; /* 1 << enum cf_kind, or-ed; 0: CF_EVENTS_DEFAULT */
	uint32_t pad0; /* zero */
	char name[CF_NAME_LEN];
	char interface[CF_IFNAME_LEN];
	char netns[CF_PATH_LEN]; /* path of a namespace file */
	char bpf_object[CF_PATH_LEN];
	char run_id[CF_TEXT_LEN]; /* overrides the metadata's */
	char place[CF_PLACE_LEN]; /* where it was declared */
};

enum cf_output_kind {
	CF_OUTPUT_STDOUT = 1,
	CF_OUTPUT_FILE = 2,
	CF_OUTPUT_UNIX = 3, /* stream socket, connected to */
};

enum cf_output_format {
	CF_FORMAT_JSON = 0,
	CF_FORMAT_COMPACT = 1, /* one line of words */
	CF_FORMAT_TABLE = 2,
	CF_FORMAT_CSV = 3,
	CF_FORMAT_COUNT = 4,
};

struct cf_plan_output {
	uint32_t kind; /* enum cf_output_kind */
	uint32_t format; /* enum cf_output_format */
	char path[CF_PATH_LEN]; /* of the file or socket */
	char place[CF_PLACE_LEN];
};

struct cf_plan_metadata { /* stamped on every record */
	char run_id[CF_TEXT_LEN];
	char policy_digest[CF_TEXT_LEN];
	char keyset_id[CF_TEXT_LEN];
	char issuer_kid[CF_TEXT_LEN];
	char correlation_id[CF_TEXT_LEN];
};

struct cf_plan {
	uint32_t cell_count;
	uint32_t output_count;
	uint32_t generation; /* given by the supervisor: 1, 2, ... for each policy put in force; 0: none */
	uint32_t pad0; /* zero */
	struct cf_plan_limits limits;
	struct cf_plan_flows flows;
	struct cf_plan_metadata metadata;
	struct cf_plan_output outputs[CF_OUTPUTS_MAX];
	struct cf_plan_cell cells[CF_CELLS_MAX];
};
#endif
