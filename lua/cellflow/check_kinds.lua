-- SPDX-License-Identifier: MIT
-- What of a policy waits for events of a kind that none of its cells asks for: handlers and rules that never come into
-- play, and fields that are never there (check_reads.lua knows which). For `cellflow check`; says what to write.
local bit = require("bit")
local ffi = require("ffi")
local watching = require("cellflow.watching")

local C = ffi.C
local M = {}

local KINDS = { "opened", "updated", "closed", "logged" }
-- Fields that only events of some kinds have.
local ONLY = { close_reason = { closed = true } }
for _, name in ipairs({ "reply_packet_count", "reply_byte_count" }) do
  ONLY[name] = { updated = true, closed = true }
end

-- What the cells of a policy have between them: bits of kinds, and whether any of them listens to the firewall.
local function what_comes(cells)
  local events, has_nflog, any = 0, false, false
  for _, cell in pairs(cells) do
    if cell.events then
      any, events = true, bit.bor(events, cell.events)
      has_nflog = has_nflog or cell.sources ~= C.CF_SOURCES_EBPF
    end
  end
  return any, events, has_nflog
end

local function words(set)
  local list = {}
  for _, kind in ipairs(KINDS) do
    if set[kind] then list[#list + 1] = kind end
  end
  return list
end

local function remedy(events, missing)
  local wanted = {}
  for _, kind in ipairs(watching.event_words(events)) do wanted[kind] = true end
  -- One that is asked for and does not come is the firewall's.
  if missing == "logged" and wanted.logged then
    return 'a cell hears of them with sources = { "ebpf", "nflog" }'
  end
  wanted[missing] = true
  return ('a cell asks for them with events = { "%s" }'):format(table.concat(words(wanted), '", "'))
end

local function kinds_of_match(conditions)
  local only = {}
  for _, kind in ipairs(KINDS) do only[kind] = true end
  for name in pairs(conditions) do
    for _, kind in ipairs(KINDS) do
      if ONLY[name] and not ONLY[name][kind] then only[kind] = nil end
    end
  end
  for number, kind in ipairs(KINDS) do
    if conditions.kind and not conditions.kind.set[number] then only[kind] = nil end
  end
  return only
end

--- `cells`: by slot, { events =, sources = } of the plan; where no cell is declared nothing is known. Returns:
---   missing(set)  for a set of kinds of which no event comes: "no cell ...", else nil
---   warnings(setup)  lines "file:line: what" about handlers and rules
---   is_silent(title)  whether warnings() named the handler of that title
function M.new(cells)
  local any, events, has_nflog = what_comes(cells)
  local silent, kinds = {}, {}

  function kinds.missing(set)
    local list = words(set)
    if not any or #list == 0 then return nil end
    for number, kind in ipairs(KINDS) do
      local comes = bit.band(events, bit.lshift(1, number)) ~= 0 and (kind ~= "logged" or has_nflog)
      if set[kind] and comes then return nil end
    end
    return ("no cell has %s events (%s)"):format(table.concat(list, " or "), remedy(events, list[#list]))
  end

  function kinds.warnings(setup)
    local lines = {}
    for _, entry in ipairs(setup.handlers.list) do
      local set = entry.number and { [KINDS[entry.number]] = true } or kinds_of_match(entry.conditions or {})
      local why = (entry.number or entry.conditions) and kinds.missing(set)
      if why then
        silent[entry.title] = true
        lines[#lines + 1] = ("%s: %s is never called: %s"):format(entry.place, entry.title, why)
      end
    end
    for _, rule in ipairs(setup.rules.list) do
      local why = kinds.missing(kinds_of_match(rule.match))
      if why then
        lines[#lines + 1] = ('%s: %s "%s" never applies: %s'):format(rule.place, rule.decision, rule.name, why)
      end
    end
    return lines
  end

  function kinds.is_silent(title) return silent[title] end
  return kinds
end

return M
