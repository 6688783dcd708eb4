-- SPDX-License-Identifier: MIT
--
-- Which stream says what: records and what was asked for on stdout, everything else on stderr; and options from the
-- environment.
local cellflow = require("cellflow")
local labs = require("lab")
local operator = require("operator")

describe("command line", function()
  local lab, desk

  setup(function() lab = labs.up() end)
  teardown(function() lab:down() end)
  before_each(function() desk = operator.open(lab) end)
  after_each(function()
    cellflow.stop_all()
    desk:close()
  end)

  for words, expected in pairs({
    ["--help"] = "^cellflow: ",
    ["help"] = "^cellflow: ",
    ["-h"] = "^cellflow: ",
    ["run --help"] = "^cellflow run: .*%-%-drain%-timeout.*CELLFLOW_CONFIG.*Signals: ",
    ["run --nonsense -h"] = "^cellflow run: ",
    ["check --help"] = "^cellflow check: .*Exit code 3",
    ["version --help"] = "^cellflow version: ",
    ["version"] = "^cellflow %d",
    ["--version"] = "^cellflow %d",
  }) do
    it("cellflow " .. words .. " is answered on stdout", function()
      local code, out, err = desk:run(words)
      assert.equal(0, code)
      assert.equal("", err)
      assert.matches(expected, out)
      assert.is_nil(out:find("[^\n\t\32-\126]"))
    end)
  end

  it("without a verb explains itself on stderr", function()
    local code, out, err = desk:run("")
    assert.equal(2, code)
    assert.equal("", out)
    assert.matches("Usage: cellflow VERB", err, 1, true)
  end)

  it("lists each option within 120 columns", function()
    for _, verb in ipairs({ "run", "check", "version" }) do
      local _, out = desk:run(verb .. " --help")
      for line in out:gmatch("[^\n]+") do assert.is_true(#line <= 120, line) end
    end
  end)

  it("check says on stdout what the plan is", function()
    local code, out, err = desk:run("check " .. desk:policy('output "json" { path = "/var/log/x" }'))
    assert.equal(0, code)
    assert.equal("", err)
    assert.equal(("%s: ok, 1 cell, 1 output\n  cell web: /run/netns/%s, eth0, egress\n  output /var/log/x\n"):format(
      desk:at("p.lua"), lab.cell), out)
  end)

  it("run writes records to stdout and nothing else", function()
    lab:serve()
    local policy = desk:policy('log.info("from the policy")\nprint("and this")')
    local run = cellflow.start({ args = { "-c", policy, "--verbose" } }):ready()
    lab:send("--flows 10 --mix udp4")
    run:signal("USR1")
    run:says("summary: ")
    assert.equal(0, run:finish())
    assert.equal(10, #run:records())
    assert.matches("from the policy", run:stderr(), 1, true)
    assert.matches("and this", run:stderr(), 1, true)
    for line in run:stderr():gmatch("[^\n]*\n") do assert.matches("^cellflow: ", line) end
  end)

  it("run --quiet says nothing when nothing is wrong", function()
    local run = cellflow.start({ args = { "--netns", lab.cell, "--quiet" } })
    run:worker()
    labs.wait_for("the attachment", 10, function()
      return labs.must(("grep -ls link_type /proc/%d/fdinfo/* || true"):format(run.pid)) ~= ""
    end)
    assert.equal(0, run:finish())
    assert.equal("", run:stderr())
  end)

  it("options come from the environment, which the command line beats", function()
    local run = cellflow.start({ env = { CELLFLOW_NETNS = lab.cell, CELLFLOW_CELL = "from-env" } }):ready()
    run:says('cell "from-env": eth0')
    assert.equal(0, run:finish())
    run = cellflow.start({ env = { CELLFLOW_NETNS = "cf-none", CELLFLOW_CELL = "from-env" },
      args = { "--netns", lab.cell, "--cell", "given" } }):ready()
    run:says('cell "given": eth0')
    assert.equal(0, run:finish())
  end)

  it("a switch in the environment is on by exactly 1", function()
    for value, count in pairs({ ["1"] = 1, ["true"] = 0, ["yes"] = 0, ["0"] = 0, [""] = 0 }) do
      local run = cellflow.start({ env = { CELLFLOW_SUMMARY_RECORD = value }, args = { "--netns", lab.cell } }):ready()
      assert.equal(0, run:finish())
      assert.equal(count, select(2, run:stdout():gsub("\n", "")), value)
    end
  end)
end)
