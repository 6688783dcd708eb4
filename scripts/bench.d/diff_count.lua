-- SPDX-License-Identifier: MIT
-- What `cellflow diff` should count, by a script that shares nothing with it: the lines that two replays of the same
-- recording wrote are joined by decision_id. Text and tables only; it reads both side by side and holds what has no
-- partner yet.
local M = {}

local FIELDS = { "decision", "reason_code", "rule", "dst_addr", "dst_port", "protocol" }
local PATTERNS = {}
for _, name in ipairs(FIELDS) do PATTERNS[name] = ('"%s":"?([^",}]*)'):format(name) end

-- The id of a record and what is asked of it, or nil at the end.
local function next_record(pipe)
  local line = pipe:read("*l")
  if not line then return nil end
  local record = {}
  for i, name in ipairs(FIELDS) do record[i] = line:match(PATTERNS[name]) or "" end
  return assert(line:match('"decision_id":"([^"]*)'), line), record
end

local function said(record) return record and ("%s %s %s"):format(record[1], record[2], record[3]) or "none" end

local function compare(self, old, new)
  local differs = not (old and new)
  if differs then
    self.presence = self.presence + 1
  else
    for i, name in ipairs({ "decision", "reason", "rule" }) do
      if old[i] ~= new[i] then self[name], differs = self[name] + 1, true end
    end
  end
  if not differs then return end
  local any = old or new
  local key = ("%s | %s | %s:%s/%s"):format(said(old), said(new), any[4], any[5], any[6])
  self.changed, self.groups[key] = self.changed + 1, (self.groups[key] or 0) + 1
end

--- Run two commands that write records as JSON lines, and compare: counts changed, decision, reason, rule and presence,
--- old and new (records of each), and groups, a count by "old | new | destination".
function M.of(old_command, new_command)
  local self = { changed = 0, decision = 0, reason = 0, rule = 0, presence = 0, groups = {}, old = 0, new = 0 }
  local pipes = { old = assert(io.popen(old_command)), new = assert(io.popen(new_command)) }
  local waiting, open = { old = {}, new = {} }, { old = true, new = true }
  while open.old or open.new do
    for side, other in pairs({ old = "new", new = "old" }) do
      local id, record = nil, nil
      if open[side] then id, record = next_record(pipes[side]) end
      open[side] = id ~= nil
      local partner = id and waiting[other][id]
      if id then self[side] = self[side] + 1 end
      if partner then
        waiting[other][id] = nil
        compare(self, side == "old" and record or partner, side == "old" and partner or record)
      elseif id then
        waiting[side][id] = record
      end
    end
  end
  for _, record in pairs(waiting.old) do compare(self, record, nil) end
  for _, record in pairs(waiting.new) do compare(self, nil, record) end
  pipes.old:close()
  pipes.new:close()
  return self
end

--- What of the object that `diff -o json --limit 65536` wrote is not as counted: a list of texts.
function M.differences(counted, found)
  local wrong = {}
  local function expect(what, expected, got)
    if expected ~= got then wrong[#wrong + 1] = ("%s: %s, and not %s"):format(what, expected, tostring(got)) end
  end
  expect("changed", counted.changed, found.changed)
  for _, name in ipairs({ "decision", "reason", "rule", "presence" }) do
    expect(name, counted[name], found.changed_by[name])
  end
  expect("records of the old policy", counted.old, found.old.records)
  expect("records of the new policy", counted.new, found.new.records)
  local function side(it)
    return it.record and ("%s %s %s"):format(it.decision, it.reason_code, it.rule or "") or "none"
  end
  local left = {}
  for key, count in pairs(counted.groups) do left[key] = count end
  for _, change in ipairs(found.changes) do
    local key = ("%s | %s | %s:%s/%s"):format(side(change.old), side(change.new), change.dst_addr,
      change.dst_port or "", change.protocol or "")
    expect(key, left[key], change.count)
    left[key] = nil
  end
  for key, count in pairs(left) do expect(key, count, nil) end
  return wrong
end

return M
