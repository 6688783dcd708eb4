-- SPDX-License-Identifier: MIT
-- Core as a policy under test has it: observed_core.lua's, with real dedup and with a batch, a progress and logs of its
-- own, so that policies do not meet each other. What comes out of the policy is kept here; whose turn it is, is
-- testing_policy.lua's.
local ffi = require("ffi")
local observed_core = require("cellflow.observed_core")

local C = ffi.C
local M = {}

-- core/testing.h, core/clock.h
ffi.cdef([[
const char *cf_testing_complete(struct cf_plan *plan);
const char *cf_testing_bind(const struct cf_plan *plan, void *dedup);
size_t cf_testing_dedup_size(void);
void cf_testing_release(void);
void cf_clock_set_offset(int64_t offset_ns);
]])

local LEVELS = { [C.CF_LOG_ERROR] = "error", [C.CF_LOG_WARN] = "warn", [C.CF_LOG_INFO] = "info",
  [C.CF_LOG_DEBUG] = "debug" }

local out -- for one record, shared: it is a megabyte

local function record_text(lib, event, decision)
  out = out or ffi.new("char[?]", C.CF_LINE_MAX)
  return ffi.string(out, lib.cf_record_json(event, decision, out, C.CF_LINE_MAX))
end

local function add_memory(core)
  local batch, progress = ffi.new("struct cf_batch"), ffi.new("struct cf_progress")
  function core.cf_batch_get() return batch end
  function core.cf_progress_get() return progress end
  return batch
end

-- Which counters there are: name -> true.
local function watch_counters(core)
  local names, slot = {}, core.cf_counter_slot
  function core.cf_counter_slot(name, name_len, label, label_len)
    names[name] = true
    return slot(name, name_len, label, label_len)
  end
  return names
end

--- `lib`: core itself. Returns the core and what is known of its policy: batch, counters (name -> true), logs ({ level
--- =, text = }), script_errors (a number), emitted (texts), written (texts of all lines in order while it is a list;
--- false: nobody asks), and of the event that was decided last record (core's JSON), line (what was written) and ending
--- (deduplicated, suppressed or failed).
function M.new(lib)
  local core, listen = observed_core.new(lib)
  local seen = { logs = {}, emitted = {}, written = false, record = false, line = false, ending = false,
    script_errors = 0 }
  seen.batch, seen.counters = add_memory(core), watch_counters(core)
  local function put(line)
    if seen.written then seen.written[#seen.written + 1] = line end
  end
  core.cf_dedup_seen = lib.cf_dedup_seen
  function core.cf_log_text(level, text, len)
    seen.logs[#seen.logs + 1] = { level = LEVELS[tonumber(level)], text = text:sub(1, tonumber(len)) }
  end
  function core.cf_script_error() seen.script_errors = seen.script_errors + 1 end
  local line_write = core.cf_line_write
  function core.cf_line_write(line, len, decision)
    seen.record = record_text(lib, seen.batch.events + 0, decision)
    return line_write(line, len)
  end
  listen({
    record = function(line)
      seen.record, seen.line = line, line
      put(line)
    end,
    line = function(line)
      seen.line = line
      put(line)
    end,
    ending = function(word) seen.ending = word end,
    emit = function(line)
      seen.emitted[#seen.emitted + 1] = line
      put(line)
    end,
  })
  return core, seen
end

return M
