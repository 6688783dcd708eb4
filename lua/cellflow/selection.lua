-- SPDX-License-Identifier: MIT
-- Which events the output is to show: the filters of `run` and `replay` (core/select.h), named after those of
-- `hubble observe`, and --where. Repeated ones are alternatives, different ones must all hold. Policies know nothing of
-- it: dispatch.lua asks once everything about an event is decided.
local ffi = require("ffi")
local event = require("cellflow.event")
local match = require("cellflow.match")
local on_match = require("cellflow.on_match")
local options = require("cellflow.options")
local suggest = require("cellflow.suggest")
local wall_time = require("cellflow.wall_time")
local where = require("cellflow.where")

local C = ffi.C
local M = {}

local PROTOCOLS = { icmp = 1, tcp = 6, udp = 17, icmpv6 = 58 }
local SECONDS = { s = 1, m = 60, h = 3600, d = 86400 }

-- Each option: the fields one of which must match, and whether commas stand between values.
local FIELDS = {
  kind = { "kind", commas = true }, protocol = { "protocol_number", commas = true },
  port = { "src_port", "dst_port", commas = true }, ip = { "src_addr", "dst_addr", commas = true },
  ["from-port"] = { "src_port", commas = true }, ["to-port"] = { "dst_port", commas = true },
  ["from-ip"] = { "src_addr", commas = true }, ["to-ip"] = { "dst_addr", commas = true },
  cell = { "cell_id" },
}

local function usage(text, ...) error({ usage = text:format(...) }, 0) end

-- The values of a list of texts.
local function values_of(texts, option, commas)
  if not commas then return texts end
  local list = {}
  for _, text in ipairs(texts) do
    for value in (text .. ","):gmatch("([^,]*),") do
      if value == "" then usage('--%s: "%s" has an empty value', option, text) end
      list[#list + 1] = value
    end
  end
  return list
end

local function protocol_number(value)
  if not value:find("^%d+$") then
    local number, wrong = options.choice(PROTOCOLS)(value)
    if not number then usage("--protocol: %s; or its number", wrong) end
    return number
  end
  if tonumber(value) > 255 then usage("--protocol: a number must be from 0 to 255, got %s", value) end
  return tonumber(value)
end

-- One option as alternatives: tables of match.lua. Checked here, so that errors name the option.
local function read_field(self, name, option, texts)
  local fields, list = FIELDS[name], values_of(texts, option, FIELDS[name].commas)
  for i, value in ipairs(list) do
    if name == "protocol" then
      list[i] = protocol_number(value)
    else
      local ok, wrong = self.fields[fields[1]].one(value)
      if not ok then usage("--%s: %s", option, wrong) end
    end
  end
  local alternatives = {}
  for i, field in ipairs(fields) do alternatives[i] = { [field] = list } end
  return alternatives
end

local function set_of(texts)
  local set = {}
  for _, text in ipairs(texts) do set[text] = true end
  return set
end

local function decisions(texts)
  local choose = options.choice({ allow = "allow", deny = "deny" })
  local list = values_of(texts, "decision", true)
  for _, text in ipairs(list) do
    local ok, wrong = choose(text)
    if not ok then usage("--decision: %s", wrong) end
  end
  return set_of(list)
end

-- Seconds since 1970 of "5m" (ago), "+5m" (in), a time of day or a number of seconds.
local function moment(texts, option, now)
  if #texts > 1 then usage("--%s: given more than once", option) end
  local sign, count, unit = texts[1]:match("^(%+?)(%d+%.?%d*)([smhd])$")
  if count then return now + (sign == "+" and 1 or -1) * tonumber(count) * SECONDS[unit] end
  local ns, wrong = wall_time.parse(texts[1])
  if not ns then usage("--%s: %s, or how long ago, like 30s, 5m, 2h, 1d, or in how long, like +5m", option, wrong) end
  return tonumber(ns) / 1e9
end

local function read_where(core, texts)
  local list = {}
  for i, text in ipairs(texts) do
    local ok, made = pcall(where.read, core, text)
    if not ok then
      if type(made) == "table" then made.usage = "--where: " .. made.usage end
      error(made, 0)
    end
    list[i] = made
  end
  return list
end

--- What the command line selects, checked: `words` is a list { option, value, option, value, ... } without dashes,
--- `now` seconds since 1970; `is_live`: of what is to come, so that --until must lie behind `now`. Raises
--- { usage = text }, or returns nil when there is nothing to select; its `before` is the time of --until.
function M.read(core, words, now, is_live)
  local given, option_of = {}, {}
  for i = 1, #words, 2 do
    local name = words[i] == "select-cell" and "cell" or words[i]
    given[name], option_of[name] = given[name] or {}, words[i]
    table.insert(given[name], words[i + 1])
  end
  if not next(given) then return nil end
  local self = { core = core, fields = match.new(core).fields, matches = {} }
  for name in pairs(FIELDS) do
    if given[name] then self.matches[name] = read_field(self, name, option_of[name], given[name]) end
  end
  self.decisions = given.decision and decisions(given.decision)
  self.reasons, self.rules = given.reason and set_of(given.reason), given.rule and set_of(given.rule)
  self.since = given.since and moment(given.since, "since", now)
  self.before = given["until"] and moment(given["until"], "until", now)
  if is_live and self.before and self.before <= now then
    usage("--until: %s is over already; in five minutes is +5m", given["until"][1])
  end
  self.where = given.where and read_where(core, given.where)
  return self
end

--- Say which of the cells that are asked for are not among `cells`, a table by index of { name = }: no mistake, since a
--- reload may bring them, but most likely one.
function M.warn_of_cells(self, cells)
  local names, known = {}, {}
  for _, cell in pairs(cells) do
    names[#names + 1], known[cell.name] = cell.name, true
  end
  table.sort(names)
  for _, name in ipairs(self.matches.cell and self.matches.cell[1].cell_id or {}) do
    if not known[name] then
      local text = ('no cell is called "%s", so nothing of it is shown%s'):format(name, suggest.hint(name, names))
      self.core.cf_log_text(C.CF_LOG_WARN, text, #text)
    end
  end
end

-- Texts of the conditions, cheapest first, and what they name.
local function conditions(self, tests)
  local lines, compile = {}, on_match.new(self.core)
  if self.decisions then lines[#lines + 1] = "decisions[answer.decision]" end
  if self.reasons then lines[#lines + 1] = "reasons[reason()]" end
  if self.rules then lines[#lines + 1] = "rules[answer.rule]" end
  for name in pairs(FIELDS) do
    local either = {}
    for i, given in ipairs(self.matches[name] or {}) do
      tests[#tests + 1] = compile(given, "selection")
      either[i] = ("tests[%d](raw)"):format(#tests)
    end
    if #either > 0 then lines[#lines + 1] = "(" .. table.concat(either, " or ") .. ")" end
  end
  if self.since then lines[#lines + 1] = "(time(raw) or 0) >= since" end
  if self.before then lines[#lines + 1] = "(time(raw) or before)<before" end
  return lines
end

local CHUNK = [[
local answer, tests, time, decisions, reasons, rules, since, before = ...
local function reason() return answer.error_place and "script_error" or answer.reason end
return function(raw) return (%s) and true or false end]]

-- Whether `fn`, or else `others`, says yes. No loop: the compiler gives up one that goes round once.
local function either(fn, others)
  return function(ev)
    local yes = fn(ev)
    if not yes and others then yes = others(ev) end
    return yes
  end
end

-- What the expressions say of an event.
local function asker(self, runtime)
  local record, needs_record, any = runtime.record, false, nil
  for i = #self.where, 1, -1 do
    any = either(self.where[i].bind(runtime.answer, record.members), any)
    needs_record = needs_record or self.where[i].uses_record
  end
  if not needs_record then return any end
  return function(ev, raw)
    record.begin(ev, raw, true)
    local yes = any(ev)
    record.finish()
    return yes
  end
end

--- function(ev, raw) -> whether the event in hand is selected; it raises what an expression raises. `runtime`: answer
--- of dispatch.lua and record of record.lua.
function M.bind(self, runtime)
  local tests = {}
  local lines = conditions(self, tests)
  local plain = #lines > 0 and assert(load(CHUNK:format(table.concat(lines, " and ")), "=selection"))(runtime.answer,
    tests, event.get.time, self.decisions, self.reasons, self.rules, self.since, self.before)
  local ask = self.where and asker(self, runtime)
  return function(ev, raw)
    if plain and not plain(raw) then return false end
    local yes = not ask or ask(ev, raw)
    return yes
  end
end

return M
