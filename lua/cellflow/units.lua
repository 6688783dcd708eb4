-- SPDX-License-Identifier: MIT
-- The units that policies multiply with. Bytes are powers of 1024, as in nft and tc; times are seconds.
return {
  kB = 1024, MB = 1024 ^ 2, GB = 1024 ^ 3,
  sec = 1, minute = 60, hour = 3600,
}
