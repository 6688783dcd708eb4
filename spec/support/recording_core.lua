-- SPDX-License-Identifier: MIT
-- A core for the Lua runtime's specs: everything real from libcellflow.so, but what would leave the process (records,
-- lines, endings, log lines) is written into a list instead. Also makes events.
local ffi = require("ffi")
local lib = require("spec.helper").core

local M = {}

local function text_of(id)
  if id ~= 0 then return M.interned[id] end
end

local function decision_of(d)
  return { decision = d.decision == 1 and "allow" or d.decision == 2 and "deny" or d.decision,
    reason = text_of(d.reason), rule = text_of(d.rule), place = text_of(d.place),
    error_place = text_of(d.error_place) }
end

M.interned = {}

local function add_outputs(core, out)
  function core.cf_intern(text, len)
    local id = lib.cf_intern(text, len)
    M.interned[id] = text:sub(1, tonumber(len))
    return id
  end
  function core.cf_record_write(event, d)
    local entry = decision_of(d)
    entry.how, entry.seq = "record", tonumber(event.seq)
    out.endings[#out.endings + 1] = entry
    return 0
  end
  function core.cf_line_write(line, len, d)
    local entry = decision_of(d)
    entry.how, entry.line = "line", line:sub(1, tonumber(len))
    out.endings[#out.endings + 1] = entry
    return 0
  end
  function core.cf_event_end(ending)
    out.endings[#out.endings + 1] = { how = ({ "deduplicated", "suppressed", "failed", "filtered",
      "filtered deny" })[tonumber(ending)] }
  end
  function core.cf_event_suppress() out.endings[#out.endings + 1] = { how = "suppressed" } end
  function core.cf_script_error() out.script_errors = out.script_errors + 1 end
  function core.cf_log_text(level, text, len)
    out.log[#out.log + 1] = { level = tonumber(level), text = text:sub(1, tonumber(len)) }
  end
end

-- Extra lines as text, or as the decision of a record; counters by name or name[label].
local function add_extra(core, out)
  function core.cf_extra_write(line, len)
    out.extra[#out.extra + 1] = line:sub(1, tonumber(len))
    return 0
  end
  function core.cf_extra_record(event, d)
    local entry = decision_of(d)
    entry.seq = tonumber(event.seq)
    out.extra[#out.extra + 1] = entry
    return 0
  end
  local names = {}
  function core.cf_counter_slot(name, _, label)
    names[#names + 1] = label == "" and name or ("%s[%s]"):format(name, label)
    out.counters[names[#names]] = out.counters[names[#names]] or 0
    return #names
  end
  function core.cf_counter_add(slot, n) out.counters[names[slot]] = out.counters[names[slot]] + n end
  function core.cf_counter_get(slot) return out.counters[names[slot]] end
end

local function add_dedup(core, out)
  local seen = {}
  function core.cf_dedup_seen(key, len, seconds, now_ns)
    key = key:sub(1, tonumber(len))
    out.keys[#out.keys + 1] = { key = key, seconds = seconds, now = tonumber(now_ns) }
    if seen[key] then return 1 end
    seen[key] = true
    return 0
  end
end

local function add_memory(core)
  local batch = ffi.new("struct cf_batch")
  function core.cf_batch_get() return batch end
  function core.cf_plan_add_cell(p)
    if p.cell_count == ffi.C.CF_CELLS_MAX then return nil end
    p.cell_count = p.cell_count + 1
    return p.cells + (p.cell_count - 1)
  end
  function core.cf_plan_add_output(p)
    if p.output_count == ffi.C.CF_OUTPUTS_MAX then return nil end
    p.output_count = p.output_count + 1
    return p.outputs + (p.output_count - 1)
  end
end

--- core, out: out has endings (one entry for each event that ended), extra, counters, log, keys, script_errors.
function M.new()
  local out = { endings = {}, extra = {}, counters = {}, log = {}, keys = {}, script_errors = 0 }
  local core = setmetatable({}, { __index = function(_, name) return lib[name] end })
  add_outputs(core, out)
  add_extra(core, out)
  add_dedup(core, out)
  add_memory(core)
  return core, out
end

local function set_address(bytes, text)
  ffi.fill(bytes, 16)
  return assert(lib.cf_address_parse(text, #text, bytes))
end

--- Overwrite `event` (struct cf_event): an opened TCP flow over IPv4 of cell 0, changed by `fields` (members of the
--- struct; src and dst are address texts).
function M.fill(event, fields)
  ffi.fill(event, ffi.sizeof("struct cf_event"))
  event.kind, event.source, event.hook, event.direction, event.protocol = 1, 1, 1, 1, 6
  event.flags, event.tcp_flags = 1 + 8, 2
  event.first_seen_ns, event.last_seen_ns = 1000000000ULL, 3500000000ULL
  event.packets, event.bytes, event.seq = 2, 120, 1
  event.src_port, event.dst_port, event.ifindex, event.verdict = 40000, 443, 7, 1
  fields = fields or {}
  event.family = set_address(event.src_addr, fields.src or "10.0.0.1")
  set_address(event.dst_addr, fields.dst or "192.0.2.7")
  for name, value in pairs(fields) do
    if name ~= "src" and name ~= "dst" then event[name] = value end
  end
  return event
end

--- What include reads: the texts of `files` (path -> text).
function M.reader(files)
  return function(path)
    if files[path] then return files[path] end
    return nil, path .. ": cannot open the policy file: No such file or directory"
  end
end

--- A runtime with `text` loaded: host, out, batch. `text` nil: the default mapping. `files`: what it may include.
function M.host(text, args, files)
  local core, out = M.new()
  local host = require("cellflow.host").new(core)
  out.plan = ffi.new("struct cf_plan")
  host.load(text, "cellflow.lua", args, out.plan, M.reader(files or {}))
  return host, out, core.cf_batch_get(), core
end

--- Load `text`, run one event for each entry of `events` (default: one), return the endings, out and the host.
function M.run(text, events)
  local host, out, batch = M.host(text)
  events = events or { {} }
  for i, fields in ipairs(events) do
    M.fill(batch.events[i - 1], fields)
    if not fields.seq then batch.events[i - 1].seq = i end
  end
  host.batch(#events)
  return out.endings, out, host
end

--- What loading `text` raises; fails when it loads.
function M.load_error(text, file, files)
  local core = M.new()
  local ok, err = pcall(require("cellflow.host").new(core).load, text, file or "cellflow.lua", nil,
    ffi.new("struct cf_plan"), M.reader(files or {}))
  assert(not ok, "expected an error from: " .. text)
  return err
end

return M
