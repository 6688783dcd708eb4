-- SPDX-License-Identifier: MIT
--
-- What the process that runs the policy may do: nothing. As /proc tells it, from outside.
local cellflow = require("cellflow")
local labs = require("lab")
local operator = require("operator")

describe("worker", function()
  local lab, desk

  setup(function() lab = labs.up() end)
  teardown(function() lab:down() end)
  before_each(function() desk = operator.open(lab) end)
  after_each(function()
    cellflow.stop_all()
    desk:close()
  end)

  local function start(...)
    local run = cellflow.start({ args = { ... } }):ready()
    local worker = run:worker()
    local status = {}
    for name, value in labs.read_file(("/proc/%d/status"):format(worker)):gmatch("([^\n:]+):[ \t]*([^\n]*)\n") do
      status[name] = value:gsub("%s+", " "):gsub(" $", "")
    end
    return run, worker, status
  end

  local function id(user, option)
    return (labs.must(("id -%s %s"):format(option, user)):gsub("%s+", ""))
  end

  it("is nobody, in no group, without capabilities and without a way to get any", function()
    local _, _, status = start("--netns", lab.cell, "--user", "nobody")
    local uid, gid, none = id("nobody", "u"), id("nobody", "g"), ("0"):rep(16)
    assert.equal("cellflow-worker", status.Name)
    assert.equal(table.concat({ uid, uid, uid, uid }, " "), status.Uid)
    assert.equal(table.concat({ gid, gid, gid, gid }, " "), status.Gid)
    assert.equal("", status.Groups)
    for _, set in ipairs({ "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb" }) do
      assert.equal(none, status[set], set)
    end
    assert.equal("1", status.NoNewPrivs)
  end)

  it("is the user that was asked for, by name or by number", function()
    for _, user in ipairs({ "daemon", id("daemon", "u") }) do
      local run, _, status = start("--netns", lab.cell, "--user", user)
      assert.equal(id("daemon", "u"), status.Uid:match("^%d+"))
      assert.equal(id("daemon", "g"), status.Gid:match("^%d+"))
      assert.equal("", status.Groups)
      assert.equal(0, run:finish())
    end
  end)

  it("holds no other descriptors than those of its work", function()
    local policy = desk:policy(('output "json" { path = %q }\noutput "json" { path = "-" }'):format(desk:at("file")))
    local run, worker = start("-c", policy)
    local counts = {}
    for target in labs.must(("find /proc/%d/fd -type l -printf '%%l\\n'"):format(worker)):gmatch("[^\n]+") do
      local kind = target:gsub("%[%d+%]", ""):gsub("^anon_inode:%[?([%w-]+)%]?", "%1")
      counts[kind] = (counts[kind] or 0) + 1
    end
    assert.same({
      ["/dev/null"] = 2, -- stdin, stdout
      [run.stderr_path] = 1,
      [run.stdout_path] = 1,
      [desk:at("file")] = 1,
      ["/memfd:cellflow-output (deleted)"] = 2,
      ["bpf-map"] = 1, -- the kernel's ring
      ["eventfd"] = 1, -- the host's
      ["timerfd"] = 1,
      ["socket:"] = 1, -- to the supervisor
    }, counts)
    local ring = labs.must(("grep -l map_type /proc/%d/fdinfo/* | xargs grep -h map_type"):format(worker))
    assert.matches("map_type:%s*27\n", ring)
  end)

  it("cannot be looked into by others of its user, and leaves no core", function()
    local _, worker, status = start("--netns", lab.cell, "--user", "nobody")
    assert.matches("Max core file size +0 +0 ", labs.read_file(("/proc/%d/limits"):format(worker)))
    local uid = status.Uid:match("^%d+")
    local _, code = labs.run(("setpriv --reuid=%s --clear-groups cat /proc/%d/environ"):format(uid, worker))
    assert.are_not.equal(0, code)
    assert.equal("0\n", labs.must(("stat -c %%u /proc/%d/environ"):format(worker)))
  end)

  it("runs a policy and writes a file that it could open itself neither", function()
    local policy = desk:policy(('output "json" { path = %q }'):format(desk:at("records")))
    labs.must("chmod 600 " .. policy)
    lab:serve("--port-base 5000")
    local run, worker = start("-c", policy)
    lab:send("--flows 5 --mix udp4 --port-base 5000")
    for _, path in ipairs({ policy, desk:at("records") }) do
      local _, code = labs.run("setpriv --reuid=nobody --clear-groups --regid=nogroup test -r " .. path)
      assert.are_not.equal(0, code)
    end
    assert.is_true(cellflow.is_alive(worker))
    assert.equal(0, run:finish())
    assert.equal(5, #run:records(desk:at("records")))
  end)
end)
