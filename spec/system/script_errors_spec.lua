-- SPDX-License-Identifier: MIT
--
-- Hooks that fail while flows come: no record is lost over it, each says where the script failed, and the log says it
-- once.
local cellflow = require("cellflow")
local labs = require("lab")
local operator = require("operator")

describe("a hook", function()
  local lab, desk

  setup(function()
    lab = labs.up()
    lab:serve()
  end)
  teardown(function() lab:down() end)
  before_each(function() desk = operator.open(lab) end)
  after_each(function()
    cellflow.stop_all()
    desk:close()
  end)

  local function count(text, plain) return select(2, text:gsub(plain:gsub("%p", "%%%0"), "")) end

  local function by_reason(records)
    local counts = {}
    for _, record in ipairs(records) do
      counts[record.reason_code] = (counts[record.reason_code] or 0) + 1
    end
    return counts
  end

  it("that raises on every third event costs no record", function()
    local policy = desk:policy([[
local n = 0
function verdict(ev)
  n = n + 1
  if n % 3 == 0 then error("third") end
  return "allow", "counted"
end]])
    local run = cellflow.start({ args = { "-c", policy } }):ready()
    lab:send("--flows 600 --mix udp4")
    assert.equal(0, run:finish())
    local records = run:records()
    assert.same({ counted = 400, script_error = 200 }, by_reason(records))
    for _, record in ipairs(records) do
      local failed = record.reason_code == "script_error"
      assert.equal(failed and policy .. ":5" or nil, record.error_at)
      assert.equal("allow", record.decision)
    end
    local err = run:stderr()
    assert.equal(1, count(err, "third"))
    assert.matches("cellflow: warning: " .. policy .. ":5: third [in verdict", err, 1, true)
    assert.matches("cellflow: warning: " .. policy .. ":5: 200 script errors in all", err, 1, true)
    assert.matches("200 script errors", err, 1, true)
  end)

  it("that misspells a field is told the right name, and --fail-on sees it", function()
    local policy = desk:policy('function verdict(ev)\n  return ev.dst_prot == 22 and "deny" or "allow"\nend')
    local run = cellflow.start({ args = { "-c", policy, "--fail-on", "script-error" } }):ready()
    lab:send("--flows 5 --mix udp4")
    assert.equal(4, run:finish())
    assert.same({ script_error = 5 }, by_reason(run:records()))
    assert.equal(policy .. ":3", run:records()[1].error_at)
    local line = run:stderr():match("[^\n]*dst_prot[^\n]*")
    assert.matches("cellflow: warning: " .. policy .. ":3: ", line, 1, true)
    assert.matches('did you mean "dst_port"?', line, 1, true)
  end)

  for what, case in pairs({
    ["answers with a number"] = { "function verdict(ev) return 42 end", "42" },
    ["answers with a misspelt decision"] = { 'function verdict(ev) return "dney" end', 'did you mean "deny"?' },
    ["gives a reason that is a table"] = { "function reason(ev, d, c) return {} end", "table" },
    ["gives a key that is a table"] = { "function dedup(ev) return {} end", "table" },
    ["formats to a number"] = { "function format(record) return 7 end", "7" },
  }) do
    it("that " .. what .. " is an error of the script, and the record is written", function()
      local policy = desk:policy(case[1])
      local run = cellflow.start({ args = { "-c", policy } }):ready()
      lab:send("--flows 4 --mix udp4")
      assert.equal(0, run:finish())
      assert.same({ script_error = 4 }, by_reason(run:records()))
      local line = run:stderr():match("cellflow: warning: [^\n]*")
      assert.matches(policy .. ":2: ", line, 1, true)
      assert.matches(case[2], line, 1, true)
    end)
  end

  it("that denies makes --fail-on deny speak", function()
    local policy = desk:policy('function verdict(ev) return "deny", "no" end')
    local run = cellflow.start({ args = { "-c", policy, "--fail-on", "deny" } }):ready()
    lab:send("--flows 4 --mix udp4")
    assert.equal(8, run:finish())
  end)
end)
