/* SPDX-License-Identifier: MIT
 * What `cellflow init` writes, as the bytes of lua/starter/: each from its name to NAME_end. */
	.section .rodata
	.globl cf_starter_policy
cf_starter_policy:
	.incbin "lua/starter/cellflow.lua"
	.globl cf_starter_policy_end
cf_starter_policy_end:
	.globl cf_starter_spec
cf_starter_spec:
	.incbin "lua/starter/cellflow_spec.lua"
	.globl cf_starter_spec_end
cf_starter_spec_end:
	.section .note.GNU-stack,"",@progbits
