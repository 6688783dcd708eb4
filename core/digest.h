/* SPDX-License-Identifier: MIT
 *
 * The digest of a policy: SHA-256 over everything that makes it decide as it does. The canonical form is documented
 * in docs/records.md; anyone can make it with printf, cat and sha256sum.
 */
#ifndef CF_DIGEST_H
#define CF_DIGEST_H
#include <sha2.h>
#include <stddef.h>

enum { CF_DIGEST_LEN = 72 }; /* "sha256:", 64 hex digits, NUL */

struct cf_digest {
	SHA2_CTX sha;
};

void cf_digest_begin(struct cf_digest *digest);
/* One part: what it is ("file", "include", "arg"), its length, its bytes. */
void cf_digest_part(struct cf_digest *digest, const char *what, const void *bytes, size_t len);
/* The arguments (name, value, ..., NULL) as the policy sees them: by name, of a name given twice the last. */
void cf_digest_args(struct cf_digest *digest, const char *const *args);
void cf_digest_end(struct cf_digest *digest, char *text);
#endif
