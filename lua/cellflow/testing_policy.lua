-- SPDX-License-Identifier: MIT
-- One policy under test: a runtime of its own, as a worker has one, that decides what it is handed and lives in a time
-- of its own. Everything the policy does is real but what would leave the process (testing_core.lua). Raises texts
-- without a place; whose line they stand at is testing.lua's.
local ffi = require("ffi")
local address = require("cellflow.address")
local coverage = require("cellflow.coverage")
local event = require("cellflow.event")
local given_event = require("cellflow.given_event")
local host_module = require("cellflow.host")
local json_decode = require("cellflow.json_decode")
local names = require("cellflow.names")
local options = require("cellflow.options")
local place = require("cellflow.place")
local sandbox = require("cellflow.sandbox")
local suggest = require("cellflow.suggest")
local testing_core = require("cellflow.testing_core")
local testing_input = require("cellflow.testing_input")

local M = {}
local Policy = {}
Policy.__index = Policy

M.STEPS_MAX = 1e7 -- VM instructions of one event or timer; a tenth of a second or so
M.BEGINS_NS = 1767225600000000000ULL -- 2026-01-01T00:00:00Z
M.SECONDS_MAX = 366 * 86400 -- of one advance

local NO_INTERFACE = "eth0" -- each cell of a run has one

local in_charge -- the policy that core and the events of this process belong to

local function fail(text) error({ wrong = text }, 0) end

local function take_charge(self)
  if in_charge == self then return end
  event.bind(self.runtime)
  local wrong = self.lib.cf_testing_bind(self.plan, self.dedup)
  if wrong ~= nil then fail(ffi.string(wrong)) end
  if self.offset_ns then self.lib.cf_clock_set_offset(self.offset_ns) end
  in_charge = self
end

-- fn(...), ended when it does not come back. Only what is interpreted can be ended: see test_run.lua.
local function bounded(fn, ...)
  local where
  local function stop()
    where = where or place.here() or "?"
    debug.sethook(stop, "", 1) -- at every instruction: whoever catches the error must not go on
    error("stopped", 0)
  end
  local function handle(err)
    debug.sethook() -- here and not after xpcall, where it would end the runtime itself
    return err
  end
  coverage.begin()
  debug.sethook(stop, "", M.STEPS_MAX)
  local ok, answer = xpcall(fn, handle, ...)
  debug.sethook()
  coverage.finish()
  if where then
    fail(("%s: not back after %d million instructions: a loop without an end?"):format(where, M.STEPS_MAX / 1e6))
  elseif not ok then
    error(answer, 0)
  end
  return answer
end

local function read_file(path)
  local file, wrong = io.open(path, "rb")
  if not file then return nil, "cannot open the policy file: " .. wrong end
  local text
  text, wrong = file:read("*a")
  file:close()
  if not text then return nil, ("cannot read the policy file: %s: %s"):format(path, wrong) end
  return text
end

local function load_file(self, path, args)
  local text, wrong = read_file(path)
  if not text then fail(wrong) end
  sandbox.compiled = {}
  coverage.begin(true)
  local ok, err = pcall(self.host.load, text, path, args, self.plan, read_file)
  coverage.finish()
  coverage.add(sandbox.compiled)
  sandbox.compiled = nil
  if not ok then fail(err) end
  wrong = self.lib.cf_testing_complete(self.plan)
  if wrong ~= nil then fail(ffi.string(wrong)) end
end

-- What a command line and a namespace would say: a cell when the policy has none, and an interface for each.
local function complete_cells(self)
  local plan = self.plan
  if plan.cell_count == 0 then
    local cell = self.lib.cf_plan_add_cell(plan)
    cell.name, cell.hooks = "cell", ffi.C.CF_PLAN_EGRESS
  end
  for i = 0, plan.cell_count - 1 do
    if plan.cells[i].interface[0] == 0 then plan.cells[i].interface = NO_INTERFACE end
  end
  self.host.bind(plan)
end

local function moment(self, kind, seconds, lost, total)
  self.next_timer = bounded(self.host.moment, kind, seconds, lost or 0, total or 0)
end

local function seconds_of(ns) return tonumber(ns) / 1e9 end

-- On to now_ns, calling the timers that are due on the way, each at its own time.
local function go_on(self, now_ns)
  local now = seconds_of(now_ns)
  while self.next_timer ~= 0 and self.next_timer <= now do moment(self, "timer", self.next_timer) end
  self.now_ns = now_ns
end

--- The policy in the file `path`, with args (name -> value), read and not begun: its cells are what it declares.
--- offset_ns: what the time of day is ahead of the times of its events, 0 when nil.
function M.read(lib, path, args)
  local self = setmetatable({ lib = lib, path = path, plan = ffi.new("struct cf_plan"), now_ns = M.BEGINS_NS, seq = 0,
    lost_total = 0, next_timer = 0, dedup = nil, offset_ns = nil }, Policy)
  local core
  core, self.seen = testing_core.new(lib)
  self.host = host_module.new(core)
  in_charge = nil -- events speak through what is loaded last
  load_file(self, path, args)
  local state = self.host.ask("state", self.plan)
  self.cells, self.setup = state.cells, state.setup
  self.core = core
  self.runtime = { names = names.new(core), cells = self.cells, address = address.new(core),
    wall = lib.cf_wall_seconds, prefix_rule = lib.cf_prefix_rule }
  if self.setup.hooks.dedup then self.dedup = ffi.new("uint64_t[?]", lib.cf_testing_dedup_size() / 8) end
  coverage.add_rules(self.setup.rules.list)
  return self
end

--- The same, with cells as a run has them, and begun at `now_ns` (M.BEGINS_NS when nil).
function M.load(lib, path, args, now_ns)
  local self = M.read(lib, path, args)
  complete_cells(self)
  self.now_ns = now_ns or M.BEGINS_NS
  self:tell("start", seconds_of(self.now_ns))
  return self
end

--- A moment of moments.lua. Returns when the next timer is due, 0: never.
function Policy:tell(kind, seconds, lost, total)
  take_charge(self)
  moment(self, kind, seconds, lost, total)
  return self.next_timer
end

--- The plan was changed, and event times are `offset_ns` behind the time of day from now on.
function Policy:rebind(offset_ns)
  self.offset_ns = offset_ns
  self.host.bind(self.plan)
  in_charge = nil
end

--- Decide the first event of the batch. Returns what came of it, as `seen` of testing_core.lua.
function Policy:take()
  local seen = self.seen
  take_charge(self)
  seen.record, seen.line, seen.ending = false, false, false
  bounded(self.host.batch, 1)
  coverage.rule(self.setup.rules.list[self.setup.rules.decided[0]])
  return seen
end

-- The event may name another interface than its cell has; records say what the plan says.
local function set_interface(self, slot, name)
  self.plan.cells[slot].interface = name
  self.host.bind(self.plan)
  self.lib.cf_testing_bind(self.plan, self.dedup)
end

local function read_event(self, raw, given)
  local words, wrong = testing_input.words(given, self.seq)
  if not words then fail(wrong) end
  local before = {}
  for slot, cell in pairs(self.cells) do before[slot] = cell.interface end
  local ok, err = pcall(given_event.read, self.core, raw, words, self.cells, self.now_ns)
  local slot = raw.cell
  local own, said = before[slot], self.cells[slot].interface
  self.cells[slot].interface = own
  if not ok then fail(type(err) == "table" and err.usage or err) end
  return said ~= own and said or nil, own
end

--- A JSON object's text as a table; nil: it is none.
function M.decoded(text)
  return text:find("^%s*{") and json_decode.object(text) or nil
end

--- Decide one event: a table of fields or a record's JSON text; what it leaves open is made up as for `explain`, and
--- its time is now. A later time of its own is waited for. Returns the record as a table and the line that was written,
--- or nil and how the event ended.
function Policy:decide(given)
  local raw = self.seen.batch.events + 0
  take_charge(self)
  self.seq = self.seq + 1
  local other, own = read_event(self, raw, given)
  local slot = raw.cell
  if raw.last_seen_ns > self.now_ns then go_on(self, raw.last_seen_ns + 0) end
  if other then set_interface(self, slot, other) end
  local ok, seen = pcall(self.take, self)
  if other then set_interface(self, slot, own) end
  if not ok then error(seen, 0) end
  if seen.ending then return nil, seen.ending end
  return M.decoded(seen.line) or M.decoded(seen.record), seen.line
end

--- Let time go by: timers run, windows move, keys are forgotten. Returns the seconds since 1970 that it is then.
function Policy:advance(seconds)
  if type(seconds) ~= "number" or not (seconds >= 0 and seconds <= M.SECONDS_MAX) then
    fail(("advance takes a number of seconds from 0 to %d, got %s"):format(M.SECONDS_MAX, options.describe(seconds)))
  end
  take_charge(self)
  go_on(self, self.now_ns + ffi.cast("uint64_t", seconds * 1e9 + 0.5))
  return seconds_of(self.now_ns)
end

--- Tell handlers of "lost" that `count` events were lost.
function Policy:lost(count)
  if type(count) ~= "number" or count < 1 or count % 1 ~= 0 then
    fail("lost takes a number of events, got " .. options.describe(count))
  end
  take_charge(self)
  self.lost_total = self.lost_total + count
  moment(self, "lost", seconds_of(self.now_ns), count, self.lost_total)
end

--- Tell handlers of "stop".
function Policy:stop()
  take_charge(self)
  moment(self, "stop", seconds_of(self.now_ns))
end

--- All lines that emit() wrote so far: tables of what was JSON, text of what was not.
function Policy:emitted()
  local list = {}
  for i, text in ipairs(self.seen.emitted) do list[i] = M.decoded(text) or text end
  return list
end

--- A counter's value.
function Policy:counter(name, label)
  if not self.seen.counters[name] then
    local known = {}
    for other in pairs(self.seen.counters) do known[#known + 1] = other end
    table.sort(known)
    fail(("the policy has used no counter %s so far%s"):format(options.describe(name), suggest.hint(name, known)))
  end
  label = label == nil and "" or tostring(label)
  return self.core.cf_counter_get(self.core.cf_counter_slot(name, #name, label, #label))
end

--- All log lines so far, script errors among them: { level = "warn", text = "..." }.
function Policy:logs()
  local list = {}
  for i, entry in ipairs(self.seen.logs) do list[i] = { level = entry.level, text = entry.text } end
  return list
end

--- The lines that a run would write for `events` (a list, or an iterator's function).
function Policy:lines(events)
  local lines, at = {}, 0
  local function from_list()
    at = at + 1
    return events[at]
  end
  self.seen.written = lines
  local ok, err = pcall(function()
    for given in type(events) == "function" and events or from_list do self:decide(given) end
  end)
  self.seen.written = false
  if not ok then error(err, 0) end
  return lines
end

--- No policy is in charge any more.
function M.forget() in_charge = nil end

return M
