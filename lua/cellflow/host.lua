-- SPDX-License-Identifier: MIT
-- The runtime as core/script.c sees it: load a policy into a plan, run batches, stop, check. Joins the other modules
-- and holds what belongs to one loaded policy; the policy itself sees nothing of it.
local ffi = require("ffi")
local address = require("cellflow.address")
local asks = require("cellflow.asks")
local cidr = require("cellflow.cidr")
local compiler = require("cellflow.compiler")
local dispatch = require("cellflow.dispatch")
local event = require("cellflow.event")
local fault = require("cellflow.fault")
local holder = require("cellflow.holder")
local json = require("cellflow.json")
local limit = require("cellflow.limit")
local log = require("cellflow.log")
local memory = require("cellflow.memory")
local names = require("cellflow.names")
local place = require("cellflow.place")
local progress = require("cellflow.progress")
local record = require("cellflow.record")
local ruleset = require("cellflow.ruleset")
local sandbox = require("cellflow.sandbox")
local selection = require("cellflow.selection")
local vocabulary = require("cellflow.vocabulary")
local slow = require("cellflow.slow")
local words = require("cellflow.words")

local M = {}

M.LOAD_STEPS_MAX = 1e8 -- instructions while the file is read: about a second
M.LOAD_SECONDS_MAX = 8 -- of processor time; the supervisor waits for ten

local function text_of(chars)
  if chars[0] ~= 0 then return ffi.string(chars) end
end

-- script.c hands the plan over as a number: exact for any address of a process, where a lightuserdata is not.
local function plan_pointer(plan)
  if type(plan) == "number" then
    plan = ffi.cast("uintptr_t", plan)
  end
  return ffi.cast("struct cf_plan *", plan)
end

-- The plan's texts as Lua strings, once: events and records name them.
local function read_plan(plan, cells, metadata)
  for i in pairs(cells) do cells[i] = nil end
  for _, name in ipairs({ "run_id", "policy_digest", "keyset_id", "issuer_kid", "correlation_id" }) do
    metadata[name] = text_of(plan.metadata[name])
  end
  metadata.generation = plan.generation ~= 0 and plan.generation or nil
  for i = 0, plan.cell_count - 1 do
    local cell = plan.cells[i]
    cells[i] = { name = text_of(cell.name), interface = text_of(cell.interface),
      run_id = text_of(cell.run_id) or metadata.run_id, events = cell.events, sources = cell.sources }
  end
end

-- Runs the chunk bounded; errors come out as one line with the policy's place.
local function read_file(self, chunk, file)
  local failure
  local function note(err)
    local where, info = place.here()
    local text = place.text(err, info)
    where = where or file
    local placed = text:sub(1, #where + 2) == where .. ": " or place.begins(text)
    failure = placed and text or where .. ": " .. text
  end
  jit.off(chunk, true)
  local ok, _, err = limit.call(chunk, note, M.LOAD_STEPS_MAX, M.LOAD_SECONDS_MAX)
  jit.on(chunk, true)
  if not ok then
    self.relieve(err)
    error(failure or file .. ": " .. tostring(err), 0)
  end
end

local function load_policy(self, text, file, args, plan, read_include)
  local declaring, finish, rules = words.new(self.core, plan)
  declaring.net = cidr.new(self.core)
  local plain = {}
  local encoder = json.new(self.core, plain)
  local more = vocabulary.new(self.core, plan, { encoder = encoder, file = file, read_include = read_include })
  for name, word in pairs(more.words) do declaring[name] = word end
  local box = sandbox.new({ words = declaring, args = args, plain = plain, json_encode = encoder.encode,
    log = log.new(asks.log_core(self.core, self.purpose, self)) })
  if text then
    local chunk, wrong = sandbox.compile(text, file, box.env)
    if not chunk then error(wrong, 0) end
    more.open(box.env)
    read_file(self, chunk, file)
  end
  finish()
  box.close()
  more.close()
  return box, encoder, plain, more, ruleset.new(rules)
end

-- The policy's functions as they were written, whatever will be put in their places.
local function functions_of(box, more)
  local list = {}
  local function add(title, home, fn) list[#list + 1] = { title = ("%s at %s"):format(title, home), fn = fn } end
  for _, name in ipairs(sandbox.HOOKS) do
    if box.hooks[name] then add(name, box.places[name] or "?", box.hooks[name]) end
  end
  for _, entries in ipairs({ more.handlers.list, more.timers.list }) do
    for _, entry in ipairs(entries) do add(entry.title, entry.place, entry.fn) end
  end
  return list
end

local function assemble(self, box, encoder, plain, more, rules)
  local answer = { decision = false, reason = false, rule = false, place = false, error_place = false }
  local core = self.core
  local cells, metadata = self.cells, self.metadata
  event.bind({ names = names.new(core), cells = cells, address = address.new(core), wall = core.cf_wall_seconds,
    prefix_rule = core.cf_prefix_rule })
  local its_record = record.new(core, encoder, answer, cells, metadata)
  plain[its_record.proxy] = { walk = its_record.plain, json = its_record.json }
  self.names, self.functions = box.names, functions_of(box, more)
  self.setup = { hooks = box.hooks, places = box.places, record = its_record, answer = answer,
    faults = asks.counted(fault.new(core), self.purpose), rules = rules, handlers = more.handlers, clock = more.clock,
    timers = more.timers, progress = progress.new(core),
    selects = self.selection and selection.bind(self.selection, { answer = answer, record = its_record }) or nil }
  more.handlers.bind(self.setup.progress)
  more.timers.bind(self.setup.progress)
  rules.bind(cells)
  self.dispatcher = dispatch.new(core, self.setup)
  more.later.record, more.later.write_record = its_record, self.dispatcher.write_extra
  self.slow = slow.new(core, self.setup)
  self.moment = more.moment(self.setup.faults, self.setup.progress)
end

--- A runtime over `core` (lib.lua's table, or one that records what it is told).
---   load(text, file, args, plan, read_include)  read a policy; text nil: the default mapping. args: table of texts.
---     plan: a struct cf_plan * or its address as a number; not kept. read_include(path) -> text, or nil and why not.
---     Raises one line "file:line: what".
---   select(words[, now, is_live])  before load: what of the output to show (selection.lua); returns what is wrong, or
---     the time of --until, or nil
---   bind(plan)     take cell and interface names from this plan, whose order events follow; load has done it once
---   batch(count)   decide the first `count` events of the batch; raises nothing for a faulty hook
---   count_traces() core counts what the compiler does from now on
---   slow(seconds, bound)  a batch took that long (slow.lua); true: tell me of the next one as well
---   moment(kind, now, lost, total)  what happens between batches (moments.lua); the time of the next timer, or 0
---   holder()       which local of the policy holds most memory (holder.lua), as text, or nil
---   stop()         log what is left to say; returns the script errors by place
---   check()        list of error lines and list of warnings (check.lua); overwrites the batch
---   ask(what, plan, texts)  what a verb of one shot wants to know (asks.lua) -> number, text or nil
---   loop()         the function that batch spends its time in, for specs of the compiler
--- `purpose`: nil, or "check" or "explain": the runtime is there to be asked, and writes nothing.
function M.new(core, purpose)
  local listen
  core, listen = asks.prepare(core, purpose)
  local self = { listen = listen, purpose = purpose, core = core, given = nil,
    selection = nil, setup = nil, dispatcher = nil, moment = nil, cells = {}, metadata = {},
    relieve = memory.new(core) }
  local host = {}

  function host.bind(plan)
    read_plan(plan_pointer(plan), self.cells, self.metadata)
    if not self.setup then return end
    self.setup.rules.bind(self.cells)
    if self.selection then selection.warn_of_cells(self.selection, self.cells) end
  end
  function host.load(text, file, args, given, read_include)
    self.given = given -- a cast pointer does not keep what it points to
    local plan = plan_pointer(given)
    local box, encoder, plain, more, rules =
      load_policy(self, text, file or "cellflow.lua", args or {}, plan, read_include)
    host.bind(plan)
    assemble(self, box, encoder, plain, more, rules)
    self.given = nil
  end
  function host.select(given, now, is_live)
    local ok, found = pcall(selection.read, self.core, given, now or os.time(), is_live)
    if ok then
      self.selection = found
      return found and found.before
    elseif type(found) == "table" and found.usage then
      return found.usage
    else
      error(found, 0)
    end
  end
  host.batch = compiler.once(function(count) return self.dispatcher.run(count) end)
  function host.count_traces() compiler.count(core) end
  host.slow = compiler.once(function(seconds, bound) return self.slow(seconds, bound) end)
  function host.moment(kind, now, lost, total) return self.moment(kind, now, lost, total) end
  function host.holder() return self.functions and holder.name(self.functions) end
  function host.stop() return self.setup and self.setup.faults.report() or {} end
  function host.check() return asks.check(self) end
  function host.ask(what, plan, texts) return asks[what](self, plan_pointer(plan), texts) end
  function host.loop() return self.dispatcher.loop end
  return host
end

return M
