-- SPDX-License-Identifier: MIT
-- The script that scripts/bench compares `cellflow diff` with: what it counts of two lists of records, and that it
-- finds a count that is wrong.
package.path = "./scripts/bench.d/?.lua;" .. package.path
local diff_count = require("diff_count")

local paths = {}

local function records(list)
  local lines = {}
  for i, it in ipairs(list) do
    lines[i] = ('{"decision_id":"%s","decision":"%s","reason_code":"%s"%s,"dst_addr":"10.0.0.1","dst_port":%d,'
      .. '"protocol":"tcp"}'):format(it[1], it[2], it[3], it[4] and (',"rule":"%s"'):format(it[4]) or "", it[5])
  end
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(table.concat(lines, "\n"), "\n")
  file:close()
  paths[#paths + 1] = path
  return "cat " .. path
end

local function count()
  return diff_count.of(records({ { "a", "allow", "x", "r", 443 }, { "b", "allow", "x", nil, 443 },
    { "c", "deny", "x", "r", 22 }, { "d", "deny", "x", "r", 22 } }),
  records({ { "a", "deny", "y", "r", 443 }, { "d", "deny", "x", "r", 22 }, { "c", "deny", "x", "s", 22 },
    { "e", "deny", "x", "s", 22 } }))
end

describe("the count that diff is compared with", function()
  after_each(function()
    for _, path in ipairs(paths) do os.remove(path) end
    paths = {}
  end)

  it("joins by decision id, in whatever order, and counts what differs", function()
    assert.same({ changed = 4, decision = 1, reason = 1, rule = 1, presence = 2, old = 4, new = 4, groups = {
      ["allow x r | deny y r | 10.0.0.1:443/tcp"] = 1, ["allow x  | none | 10.0.0.1:443/tcp"] = 1,
      ["deny x r | deny x s | 10.0.0.1:22/tcp"] = 1, ["none | deny x s | 10.0.0.1:22/tcp"] = 1 } }, count())
  end)

  it("finds every number that is another one", function()
    local function found(list)
      return { changed = 4, changed_by = { decision = 1, reason = 1, rule = 1, presence = 2 }, old = { records = 4 },
        new = { records = 4 }, changes = list }
    end
    local none = { record = false, ending = "deduplicated" }
    local function change(old, new, port)
      return { count = 1, old = old, new = new, dst_addr = "10.0.0.1", dst_port = port, protocol = "tcp" }
    end
    local function record(decision, reason, rule)
      return { record = true, decision = decision, reason_code = reason, rule = rule }
    end
    local all = { change(record("allow", "x", "r"), record("deny", "y", "r"), 443),
      change(record("allow", "x"), none, 443), change(record("deny", "x", "r"), record("deny", "x", "s"), 22),
      change(none, record("deny", "x", "s"), 22) }
    assert.same({}, diff_count.differences(count(), found(all)))
    local fewer = found({ all[1], all[2], all[3] })
    assert.same({ "none | deny x s | 10.0.0.1:22/tcp: 1, and not nil" }, diff_count.differences(count(), fewer))
    local other = found(all)
    other.changed, other.changed_by.rule, other.old.records, all[1].count = 5, 0, 3, 7
    assert.equal(4, #diff_count.differences(count(), other))
  end)
end)
