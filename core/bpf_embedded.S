/* SPDX-License-Identifier: MIT
 * The default BPF object, as the bytes of its ELF file: cf_bpf_embedded .. cf_bpf_embedded_end. */
	.section .rodata
	.balign 16
	.globl cf_bpf_embedded
cf_bpf_embedded:
	.incbin CF_BPF_OBJECT
	.globl cf_bpf_embedded_end
cf_bpf_embedded_end:
	.section .note.GNU-stack,"",@progbits
