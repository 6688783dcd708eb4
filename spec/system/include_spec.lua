-- SPDX-License-Identifier: MIT
-- Included files in a real run: read by the supervisor, kept for the workers that come later, part of the digest.
local cellflow = require("cellflow")
local identities = require("identities")
local lab = require("spec.support.lab")
local policy_run = require("policy_run")
local system = require("system")

describe("a policy of several files", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here, directory
  before_each(function()
    here = lab.up()
    here:serve()
    directory = policy_run.directory()
  end)
  after_each(function()
    cellflow.stop_all()
    policy_run.remove_all()
    here:down()
  end)

  local function write(name, text) return policy_run.write(directory .. "/" .. name, text, "0600") end
  local function start(args)
    return cellflow.start({ args = { "-c", directory .. "/main.lua", "--cell", "one", "--netns", here.cell,
      "--interface", "eth0", "--summary-record", unpack(args or {}) } })
  end
  local function send(seed) return here:send("--flows 4 --seed " .. (seed or 1)) end

  local function reasons(run)
    local found = {}
    for _, record in ipairs(run:records()) do found[record.reason_code] = true end
    return found
  end

  it("reads files that only root can, in directories that only root can", function()
    lab.must("chmod 0700 " .. directory .. " && mkdir -m 0700 " .. directory .. "/lists")
    write("lists/ports.lua", "return { [9000] = true }")
    write("main.lua", 'local ports = include "lists/ports.lua"\n'
      .. 'function verdict(ev) return "deny", ports[9000] and "included" or "not" end')
    local run = start():ready()
    send()
    assert.equal(0, run:finish())
    assert.same({ included = true }, reasons(run))
    identities.check(run:summary())
  end)

  it("stays what it was when a worker is replaced, until SIGHUP", function()
    write("code.lua", 'return "old"')
    write("main.lua", 'local code = include "code.lua" function verdict() return "deny", code end')
    local run = start():ready()
    write("code.lua", 'return "new"')
    local _, worker = run:pids()
    assert.is_true(cellflow.kill(worker, "KILL"))
    run:worker(worker)
    send()
    cellflow.wait_for("records", 10, function() return reasons(run).old end)
    assert.same({ old = true }, reasons(run))
    run:signal("HUP")
    run:says("generation 2 is in force")
    send(2)
    assert.equal(0, run:finish())
    assert.same({ old = true, new = true }, reasons(run))
    local digests = {}
    for _, record in ipairs(run:records()) do digests[record.reason_code] = record.policy_digest end
    assert.is_true(digests.old ~= digests.new)
  end)

  it("stays in force when an included file has gone at SIGHUP", function()
    write("code.lua", 'return "old"')
    write("main.lua", '\nlocal code = include "code.lua" function verdict() return "deny", code end')
    local run = start():ready()
    os.remove(directory .. "/code.lua")
    run:signal("HUP")
    run:says("stays in force")
    assert.matches(('main.lua:2: include "code.lua": %s/code.lua: cannot open'):format(directory), run:stderr(), 1,
      true)
    send()
    assert.equal(0, run:finish())
    assert.same({ old = true }, reasons(run))
  end)

  it("is read again with --watch when an included file changes, or comes to be", function()
    write("code.lua", 'return "old"')
    write("main.lua", 'local code = include "code.lua" function verdict() return "deny", code end')
    local run = start({ "--watch" }):ready()
    write("code.lua", 'return include "more.lua"')
    run:says("more.lua: cannot open")
    write("more.lua", 'return "new"')
    run:says("generation 2 is in force")
    send()
    assert.equal(0, run:finish())
    assert.same({ new = true }, reasons(run))
  end)

  it("is refused with both places when a file is missing, or one that the worker's user could write", function()
    write("main.lua", 'include "gone.lua"')
    local run = start()
    assert.equal(3, run:wait())
    assert.matches("main.lua:1: include \"gone.lua\": " .. directory .. "/gone.lua: cannot open", run:stderr(), 1, true)
    write("open.lua", "return 1")
    lab.must("chmod 0666 " .. directory .. "/open.lua")
    write("main.lua", 'include "open.lua"')
    run = start()
    assert.equal(3, run:wait())
    assert.matches("may be written by anyone", run:stderr(), 1, true)
  end)

  it("has the digest that printf, cat and sha256sum make", function()
    write("a.lua", "-- a\n")
    write("main.lua", 'include "a.lua"\nfunction verdict() return "deny", "x" end\n')
    local digest = lab.must(([[cd %s; { printf 'cellflow policy 1\n'
      printf 'file %%d\n' $(stat -c %%s main.lua); cat main.lua; echo
      printf 'include %%d\n' $(stat -c %%s a.lua); cat a.lua; echo
      printf 'arg 3\na=1\narg 9\nteam=blue\n'; } | sha256sum]]):format(directory)):match("%x+")
    local run = start({ "-a", "team=blue", "-a", "a=0", "-a", "a=1" }):ready()
    send()
    assert.equal(0, run:finish())
    assert.equal("sha256:" .. digest, run:records()[1].policy_digest)
  end)

  it("has the digest that metadata gives, and none without a policy", function()
    write("main.lua", 'metadata { policy_digest = "mine" }')
    local run = start():ready()
    local plain = cellflow.start({ args = { "--netns", here.cell, "--interface", "eth0" } }):ready()
    send()
    system.sleep(0.2)
    assert.equal(0, run:finish())
    assert.equal(0, plain:finish())
    assert.equal("mine", run:records()[1].policy_digest)
    assert.is_nil(plain:records()[1].policy_digest)
  end)
end)
