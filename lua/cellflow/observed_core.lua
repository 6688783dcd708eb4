-- SPDX-License-Identifier: MIT
-- Core as `cellflow explain` sees it: all of it real, but what an event ends in (records, lines, endings, extra lines,
-- keys) is told to a listener instead of written, and counters count here. A policy runs on it as it runs on core.
local ffi = require("ffi")

local C = ffi.C
local M = {}

local function add_counters(core)
  local slots, counts = {}, {}
  function core.cf_counter_slot(name, _, label)
    local key = name .. "\0" .. label
    if not slots[key] then
      counts[#counts + 1] = 0
      slots[key] = #counts
    end
    return slots[key]
  end
  function core.cf_counter_add(slot, n) counts[slot] = (counts[slot] or 0) + n end
  function core.cf_counter_get(slot) return counts[slot] or 0 end
end

local ENDINGS = { [C.CF_ENDING_DEDUPLICATED] = "deduplicated", [C.CF_ENDING_FAILED] = "failed" }

--- The core, and a function to set the listener: { dedup(key, seconds, now_ns), record(text), line(text), ending(word),
--- emit(text) }.
function M.new(lib)
  local listener
  local size = C.CF_LINE_MAX
  local out -- made when it is needed
  local core = setmetatable({}, { __index = function(_, name) return lib[name] end })
  local function json_of(event, decision)
    out = out or ffi.new("char[?]", size)
    return ffi.string(out, lib.cf_record_json(event, decision, out, size))
  end
  local function line_of(line, len) return (line:sub(1, tonumber(len)):gsub("\n", "\\n")) end
  function core.cf_dedup_seen(key, len, seconds)
    listener.dedup(key:sub(1, tonumber(len)), tonumber(seconds))
    return 0 -- nothing was seen before
  end
  function core.cf_record_write(event, decision)
    listener.record(json_of(event, decision))
    return 0
  end
  function core.cf_line_write(line, len)
    listener.line(line_of(line, len))
    return 0
  end
  function core.cf_event_end(ending) listener.ending(ENDINGS[tonumber(ending)]) end
  function core.cf_event_suppress() listener.ending("suppressed") end
  function core.cf_extra_record(event, decision)
    listener.emit(json_of(event, decision))
    return 0
  end
  function core.cf_extra_write(line, len)
    listener.emit(line_of(line, len))
    return 0
  end
  add_counters(core)
  return core, function(what) listener = what end
end

return M
