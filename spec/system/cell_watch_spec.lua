-- SPDX-License-Identifier: MIT
-- core/cell_watch.c in real namespaces: what is gone is seen, and nothing is kept alive by the watching.
local ffi = require("ffi")
local privileged = require("privileged")
local netns = require("netns")
local core = privileged.core

local ALIVE, INTERFACE_GONE, NAMESPACE_GONE =
  ffi.C.CF_CELL_ALIVE, ffi.C.CF_CELL_INTERFACE_GONE, ffi.C.CF_CELL_NAMESPACE_GONE
local modes = { tcx = ffi.C.CF_ATTACH_TCX, clsact = ffi.C.CF_ATTACH_CLSACT }

describe("a watched cell", function()
  local watch, attached, processes

  before_each(function()
    attached, processes = {}, {}
    watch = ffi.new("struct cf_cell_watch")
    local err = ffi.new("struct cf_error")
    assert(core.cf_cell_watch_open(watch, err) == 0, ffi.string(err.text))
  end)

  after_each(function()
    core.cf_cell_watch_close(watch)
    core.cf_cell_watch_close(watch)
    for pid in pairs(processes) do netns.run("kill -9 %d", pid) end
    for _, each in ipairs(attached) do core.cf_detach(each.attachment, each.cell, nil) end
    netns.remove_all()
  end)

  -- A watched cell { cell, object, attachment, watched }, attached by `mode` when one is given.
  local function add(cell, mode)
    local each = { cell = cell, watched = ffi.new("struct cf_cell_watched") }
    if mode then
      cell.attach = mode
      each.object = assert(privileged.load(privileged.maps()))
      each.attachment = assert(privileged.attach(cell, each.object))
      attached[#attached + 1] = each
    end
    local fd = assert(privileged.open(cell))
    local err = ffi.new("struct cf_error")
    local ret = core.cf_cell_watch_add(watch, fd, cell, each.attachment, each.watched, err)
    ffi.C.close(fd)
    assert(ret == 0, ffi.string(err.text))
    return each
  end

  local function cell_of(ns)
    return privileged.cell({ name = "x", netns = ns.path, interface = "e0" })
  end

  local function state(each) return tonumber(core.cf_cell_check(each.watched)) end

  local function process(ns)
    local pid = tonumber(netns.must("ip netns exec %s sh -c 'sleep 60 >/dev/null 2>&1 & echo $!'", ns.name))
    processes[pid] = true
    return pid
  end

  for name, mode in pairs(modes) do
    it("attached by " .. name .. " is alive while it is, and its end is told at once", function()
      local ns, bystander = netns.make(), netns.make()
      local each, other = add(cell_of(ns), mode), add(cell_of(bystander), mode)
      assert.is_true(each.watched.nsid >= 0 and each.watched.nsid ~= other.watched.nsid)
      assert.equal(0, core.cf_cell_watch_read(watch)) -- the numbering itself is no news
      assert.equal(ALIVE, state(each))
      assert.equal(ALIVE, state(each))
      netns.must("ip netns del %s", ns.name)
      assert.is_true(netns.eventually(function() return core.cf_cell_watch_read(watch) == 1 end))
      assert.equal(NAMESPACE_GONE, each.watched.state)
      assert.equal(NAMESPACE_GONE, state(each))
      assert.equal(ALIVE, state(other))
      -- The namespace is really gone: it took our end of the pair along.
      assert.is_true(netns.eventually(function()
        return not netns.run("ip -n %s link show %s", ns.peer, ns.outside)
      end))
    end)

    it("attached by " .. name .. " is found gone by the check alone", function()
      local ns = netns.make()
      local each = add(cell_of(ns), mode)
      netns.must("ip netns del %s", ns.name)
      assert.is_true(netns.eventually(function() return state(each) == NAMESPACE_GONE end))
    end)

    it("attached by " .. name .. " has lost its interface, also when a new one has its name", function()
      local ns, second = netns.make(), netns.make()
      local each, replaced = add(cell_of(ns), mode), add(cell_of(second), mode)
      netns.must("ip -n %s link del e0", ns.name)
      netns.must("ip -n %s link del e0 && ip -n %s link add e0 type veth peer name p0", second.name, second.name)
      assert.is_true(netns.eventually(function() return state(each) == INTERFACE_GONE end))
      assert.is_true(netns.eventually(function() return state(replaced) == INTERFACE_GONE end))
      netns.must("ip netns del %s", ns.name)
      assert.is_true(netns.eventually(function()
        core.cf_cell_watch_read(watch)
        return each.watched.state == NAMESPACE_GONE
      end))
    end)
  end

  it("by clsact is gone when its path leads to another namespace", function()
    local ns = netns.make()
    local each = add(cell_of(ns), modes.clsact)
    process(ns) -- keeps the first one
    netns.must("ip netns del %s && ip netns add %s", ns.name, ns.name)
    assert.equal(NAMESPACE_GONE, state(each))
  end)

  it("by tcx lives on without its path as long as its namespace does, unless it is watched by name", function()
    local ns = netns.make()
    local by_link, by_name = add(cell_of(ns), modes.tcx), add(cell_of(ns), modes.tcx)
    by_name.watched.by_name = true
    local pid = process(ns)
    assert.equal(ALIVE, state(by_name))
    netns.must("ip netns del %s", ns.name)
    assert.equal(ALIVE, state(by_link))
    assert.equal(NAMESPACE_GONE, state(by_name))
    netns.must("kill -9 %d", pid)
    assert.is_true(netns.eventually(function() return core.cf_cell_watch_read(watch) == 1 end))
    assert.equal(NAMESPACE_GONE, by_link.watched.state)
  end)

  it("without an attachment is watched as well", function()
    local ns = netns.make(true)
    local each = add(cell_of(ns))
    assert.equal(ALIVE, state(each))
    netns.must("ip netns del %s", ns.name)
    assert.equal(NAMESPACE_GONE, state(each))
  end)

  it("that is a process ends with it", function()
    local ns = netns.make()
    local pid = process(ns)
    local cell = privileged.cell({ name = "x", pid = pid, interface = "e0" })
    local each = add(cell, modes.clsact)
    assert.is_true(each.watched.pidfd >= 0)
    assert.equal(ALIVE, state(each))
    netns.must("kill -9 %d", pid)
    assert.is_true(netns.eventually(function() return state(each) == NAMESPACE_GONE end))
  end)

  it("that is a process ends with it by tcx as well, whoever else is in its namespace", function()
    local ns = netns.make()
    local pid = process(ns)
    process(ns)
    local each = add(privileged.cell({ name = "x", pid = pid, interface = "e0" }), modes.tcx)
    assert.equal(ALIVE, state(each))
    netns.must("kill -9 %d", pid)
    assert.is_true(netns.eventually(function() return state(each) == NAMESPACE_GONE end))
  end)

  it("is not declared gone because we are short of descriptors", function()
    local ns = netns.make()
    local each = add(cell_of(ns), modes.clsact)
    local taken = {}
    ffi.cdef("struct rlimit { unsigned long cur, max; }; int dup(int fd); " ..
      "int getrlimit(int what, struct rlimit *limit); int setrlimit(int what, const struct rlimit *limit);")
    collectgarbage() -- closes what earlier specs left open
    collectgarbage()
    local before, low = ffi.new("struct rlimit"), ffi.new("struct rlimit")
    assert(ffi.C.getrlimit(7, before) == 0)
    low.cur, low.max = 512, before.max
    finally(function()
      for _, fd in ipairs(taken) do ffi.C.close(fd) end
      ffi.C.setrlimit(7, before)
    end)
    assert(ffi.C.setrlimit(7, low) == 0)
    repeat taken[#taken + 1] = ffi.C.dup(0) until taken[#taken] < 0
    local short = {}
    for free = 0, 2 do -- at the first, second and third descriptor that the check needs
      short[#short + 1] = state(each)
      if free < 2 then ffi.C.close(table.remove(taken, #taken - 1)) end
    end
    assert.same({ ALIVE, ALIVE, ALIVE }, short)
  end)

  it("does not go by the end of a namespace that had its number before", function()
    local old, ns = netns.make(true), netns.make(true)
    local number = 100000 + ffi.C.getpid() % 100000 -- the kernel gives the lowest ones to others
    netns.must("ip netns set %s %d", old.name, number)
    local each = add(cell_of(old))
    assert.equal(number, each.watched.nsid)
    core.cf_cell_watch_remove(watch, each.watched)
    netns.must("ip netns del %s", old.name)
    assert.is_true(netns.eventually(function() return netns.run("ip netns set %s %d", ns.name, number) end))
    each = add(cell_of(ns))
    assert.equal(number, each.watched.nsid)
    netns.must("sleep 0.1") -- the news of the old one's end has come by now
    assert.equal(0, core.cf_cell_watch_read(watch))
    assert.equal(ALIVE, each.watched.state)
  end)

  it("that was removed from the watch is not told about", function()
    local ns, second = netns.make(true), netns.make(true)
    local first, last = add(cell_of(ns)), add(cell_of(second))
    core.cf_cell_watch_remove(watch, first.watched)
    core.cf_cell_watch_remove(watch, first.watched)
    netns.must("ip netns del %s && ip netns del %s", ns.name, second.name)
    assert.is_true(netns.eventually(function() return core.cf_cell_watch_read(watch) == 1 end))
    assert.equal(ALIVE, first.watched.state)
    assert.equal(NAMESPACE_GONE, last.watched.state)
  end)

  it("is checked when the kernel could not tell everything", function()
    local ns = netns.make(true)
    local each = add(cell_of(ns))
    ffi.cdef("int setsockopt(int fd, int level, int name, const void *value, unsigned int len);")
    assert(ffi.C.setsockopt(watch.netlink_fd, 1, 33, ffi.new("int[1]", 1), 4) == 0) -- SO_RCVBUFFORCE: the smallest
    local numbered = {}
    for i = 1, 40 do
      numbered[i] = netns.make(true)
      netns.must("ip netns set %s auto", numbered[i].name)
    end
    netns.must("ip netns del %s", ns.name)
    assert.is_true(netns.eventually(function() return core.cf_cell_watch_read(watch) == 1 end))
    assert.equal(NAMESPACE_GONE, each.watched.state)
  end)
end)
