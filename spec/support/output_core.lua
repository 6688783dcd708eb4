-- SPDX-License-Identifier: MIT
--
-- Declares the C functions of the output half that api.h leaves out (core/json.h, record.h, intern.h, clock.h, dedup.h,
-- siphash.h), and gives the library. What Lua policies may call is in api.h and declared by spec/helper.lua.
local ffi = require("ffi")

ffi.cdef[[
struct cf_error;
int cf_record_bind(const struct cf_plan *plan, struct cf_error *err);
void cf_record_unbind(void);
size_t cf_record_json(const struct cf_event *event, const struct cf_decision *decision, char *out, size_t size);
const char *cf_intern_json(uint32_t id, size_t *len);
const char *cf_intern_text(uint32_t id, size_t *len);
void cf_intern_reset(void);
size_t cf_u64_digits(uint64_t value, char *out);
void cf_clock_refresh(void);
void cf_clock_set_offset(int64_t offset_ns);
void cf_clock_follow(void);
int cf_clock_step_fd(void);
int cf_clock_stepped(int fd);
size_t cf_clock_format(int64_t seconds, uint32_t ns, char *out);
size_t cf_dedup_size(size_t capacity);
int cf_dedup_bind(void *mem, size_t size);
void cf_dedup_begin(uint32_t attempt);
void cf_dedup_forget(uint32_t attempt);
uint64_t cf_dedup_evictions(void);
uint64_t cf_siphash64(const uint8_t *key, const void *data, size_t len);
void cf_siphash128(const uint8_t *key, const void *data, size_t len, uint8_t *out);
]]

return require("spec.helper").core
