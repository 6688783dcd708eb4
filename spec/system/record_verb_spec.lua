-- SPDX-License-Identifier: MIT
-- `cellflow record` as a user runs it: the recording of `run --record`, no records, and the options that go with that.
-- What is in a recording, whatever happens to its run, is record_spec.lua's.
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local operator = require("operator")
local recorded = require("recorded")
local system = require("system")

describe("cellflow record", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here, desk, path

  before_each(function()
    here = lab.up()
    here:serve()
    desk = operator.open(here)
    path = desk:at("day.rec")
  end)
  after_each(function()
    cellflow.stop_all()
    desk:close()
    here:down()
  end)

  local function start(...) return cellflow.start({ verb = "record", args = { ... } }) end
  local function watch(...) return start(path, "--netns", here.cell, ...):ready() end

  it("writes what run --record writes, and not one record", function()
    local run = watch("--events", "opened,closed")
    here:send("--flows 200 --rate 2000")
    assert.equal(0, run:finish())
    assert.equal("", run:stdout())
    assert.truthy(run:stderr():find("recording " .. path, 1, true), run:stderr())
    assert.falsy(run:stderr():find("do not add up", 1, true), run:stderr())
    local all = recorded.read(path)
    assert.is_true(all.files[1].ended)
    assert.is_true(#all.events >= 200)
    local replay = cellflow.start({ verb = "replay", args = { path } })
    assert.equal(0, replay:wait(20))
    assert.equal(#all.events, #replay:records())
  end)

  it("takes cells from a policy, whose outputs are left alone, and records whose policy it was", function()
    local policy = desk:write("p.lua", ('cell "web" { netns = "%s" }\noutput "json" { path = "%s" }\n'
      .. 'deny "all" {}\nfunction format() return "mine" end\n'
      .. 'on("start", function() emit("extra") end)\n'):format(here.cell, desk:at("out.jsonl")))
    local run = start(path, "-c", policy):ready()
    here:send("--flows 20 --mix udp4")
    assert.equal(0, run:finish())
    assert.equal("", run:stdout())
    assert.is_nil(lab.read_file(desk:at("out.jsonl")))
    assert.matches(" + 0 failed + ", run:stderr(), 1, true) -- what goes nowhere is no failure
    assert.matches(", nothing lost", run:stderr(), 1, true)
    local all = recorded.read(path)
    assert.same({ "web" }, all.cells)
    assert.is_true(#all.events >= 20)
    local info = lab.must(("%s info --json %s"):format(cellflow.path, path))
    assert.truthy(info:find(policy, 1, true), info)
  end)

  it("ends by itself after so many events, or when its time is over", function()
    local run = watch("--limit", "5")
    here:send("--flows 20 --mix udp4")
    assert.equal(0, run:wait())
    local began = system.monotime()
    assert.equal(0, start(desk:at("other.rec"), "--netns", here.cell, "--until", "+2s"):wait(20))
    assert.is_true(system.monotime() - began >= 1.9)
  end)

  it("says what is wrong with a command line", function()
    local function fails(code, text, ...)
      local run = start(...)
      assert.equal(code, run:wait())
      assert.matches(text, run:stderr(), 1, true)
    end
    local function refused(...) fails(2, ...) end
    refused("record: want one file to record into", "--netns", here.cell)
    refused("record: want one file to record into", path, "other", "--netns", here.cell)
    refused("record: nothing to watch", path)
    refused('unknown option "--where"', path, "--netns", here.cell, "--where", "dst_port == 1")
    refused("--until: 5m is over already; in five minutes is +5m", path, "--netns", here.cell, "--until", "5m")
    fails(1, "exists already", "/dev/null", "--netns", here.cell)
  end)
end)
