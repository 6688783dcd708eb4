-- SPDX-License-Identifier: MIT
-- core/cell_watch.c and path_watch.c: a cell whose namespace is pinned, so that the kernel never tells its end, is
-- found gone as soon as its path or process is, by the watch's one descriptor and without any look from time to time.
local ffi = require("ffi")
local privileged = require("privileged")
local netns = require("netns")
local core = privileged.core

ffi.cdef([[
struct cell_path_pollfd { int fd; short events, revents; };
int poll(struct cell_path_pollfd *fds, unsigned long count, int timeout_ms);
]])

local ALIVE, NAMESPACE_GONE = ffi.C.CF_CELL_ALIVE, ffi.C.CF_CELL_NAMESPACE_GONE

describe("a pinned cell", function()
  local watch, pins, processes, directory

  before_each(function()
    pins, processes = {}, {}
    directory = netns.must("mktemp -d"):match("%S+")
    watch = ffi.new("struct cf_cell_watch")
    local err = ffi.new("struct cf_error")
    assert(core.cf_cell_watch_open(watch, err) == 0, ffi.string(err.text))
  end)

  after_each(function()
    core.cf_cell_watch_close(watch)
    for _, fd in ipairs(pins) do ffi.C.close(fd) end
    for pid in pairs(processes) do netns.run("kill -9 %d", pid) end
    netns.remove_all()
    netns.run("rm -rf %s", directory)
  end)

  -- Watched by name, its namespace kept open by us.
  local function add(fields)
    local cell = privileged.cell({ name = "x", netns = fields.netns, pid = fields.pid })
    local each = { cell = cell, watched = ffi.new("struct cf_cell_watched") }
    local fd = assert(privileged.open(cell))
    pins[#pins + 1] = fd
    local err = ffi.new("struct cf_error")
    assert(core.cf_cell_watch_add(watch, fd, cell, nil, each.watched, err) == 0, ffi.string(err.text))
    each.watched.by_name = true
    return each
  end

  -- Whether the descriptor becomes readable within that time.
  local function readable(ms)
    return ffi.C.poll(ffi.new("struct cell_path_pollfd", watch.fd, 1, 0), 1, ms) == 1
  end

  -- Reads until nothing is left; returns how many cells were found gone, and how many reads that took.
  local function settle()
    local gone, reads = 0, 0
    while readable(100) do
      gone, reads = gone + core.cf_cell_watch_read(watch), reads + 1
      assert(reads < 5000, "the descriptor stays readable")
    end
    return gone, reads
  end

  local function state(each) return tonumber(each.watched.state) end

  local function process(ns)
    local pid = tonumber(netns.must("ip netns exec %s sh -c 'sleep 60 >/dev/null 2>&1 & echo $!'", ns.name))
    processes[pid] = true
    return pid
  end

  -- The number of directories that the kernel watches for us.
  local function directories()
    local count = 0
    for line in io.lines("/proc/self/fdinfo/" .. watch.paths.fd) do
      if line:find("^inotify wd:") then count = count + 1 end
    end
    return count
  end

  local function link(ns, name)
    local path = directory .. "/" .. name
    netns.must("ln -s %s %s", ns.path, path)
    return path
  end

  it("is gone with its path, and another in the same directory is not", function()
    local ns, other = netns.make(true), netns.make(true)
    local each, stays = add({ netns = ns.path }), add({ netns = other.path })
    settle()
    netns.must("ip netns del %s", ns.name)
    assert.is_true(readable(10000))
    assert.equal(1, (settle()))
    assert.equal(NAMESPACE_GONE, state(each))
    assert.equal(ALIVE, state(stays))
    assert.is_false(readable(0))
  end)

  it("is gone when another namespace has its path at once", function()
    local ns = netns.make(true)
    local each = add({ netns = ns.path })
    netns.must("ip netns del %s && ip netns add %s", ns.name, ns.name)
    assert.equal(1, (settle()))
    assert.equal(NAMESPACE_GONE, state(each))
  end)

  it("is not gone when its own namespace is back at the path before we look", function()
    local ns = netns.make(true)
    local path = link(ns, "cell")
    local each = add({ netns = path })
    netns.must("rm %s && ln -s %s %s", path, ns.path, path)
    assert.is_true(readable(1000))
    assert.equal(0, (settle()))
    assert.equal(ALIVE, state(each))
  end)

  it("is gone when its path is moved away, and when another is moved onto it", function()
    local ns, second = netns.make(true), netns.make(true)
    local away, onto = link(ns, "away"), link(ns, "onto")
    local each, replaced = add({ netns = away }), add({ netns = onto })
    netns.must("mv %s %s/elsewhere", away, directory)
    assert.equal(1, (settle()))
    assert.equal(NAMESPACE_GONE, state(each))
    assert.equal(ALIVE, state(replaced))
    netns.must("mv -T %s %s", link(second, "new"), onto)
    assert.equal(1, (settle()))
    assert.equal(NAMESPACE_GONE, state(replaced))
  end)

  it("is gone when the directory of its path is moved or removed", function()
    local ns = netns.make(true)
    for _, command in ipairs({ "mv %s/d %s/e", "rm -r %s/d; : %s" }) do
      netns.must("mkdir %s/d", directory)
      local each = add({ netns = link(ns, "d/cell") })
      netns.must(command, directory, directory)
      assert.equal(1, (settle()))
      assert.equal(NAMESPACE_GONE, state(each))
      core.cf_cell_watch_remove(watch, each.watched)
    end
  end)

  it("is gone with its process, whether it is given as a pid or as a path", function()
    local ns = netns.make(true)
    local pid = process(ns)
    local by_pid, by_path = add({ pid = pid }), add({ netns = ("/proc/%d/ns/net"):format(pid) })
    settle() -- the numbering of the namespace
    assert.is_false(readable(0))
    netns.must("kill -9 %d", pid)
    assert.is_true(readable(10000))
    assert.equal(2, (settle()))
    assert.equal(NAMESPACE_GONE, state(by_pid))
    assert.equal(NAMESPACE_GONE, state(by_path))
    assert.is_false(readable(0))
  end)

  it("is found gone when the kernel could not tell everything", function()
    local ns = netns.make(true)
    local gone, stays = add({ netns = link(ns, "gone") }), add({ netns = link(ns, "stays") })
    local limit = tonumber(io.open("/proc/sys/fs/inotify/max_queued_events"):read("*l"))
    if limit > 100000 then return pending("fs.inotify.max_queued_events is " .. limit .. ": too many to overflow") end
    netns.must("cd %s && seq -f f%%g %d | xargs touch && seq -f f%%g %d | xargs rm", directory, limit + 10, limit + 10)
    netns.must("rm %s/gone", directory) -- this one is not in the queue any more
    assert.equal(1, (settle()))
    assert.equal(NAMESPACE_GONE, state(gone))
    assert.equal(ALIVE, state(stays))
  end)

  it("is one of many that go at once: each read takes a part, and none is forgotten", function()
    local ns = netns.make(true)
    local all = {}
    for i = 1, 600 do all[i] = add({ netns = ns.path }) end
    settle()
    netns.must("ip netns del %s", ns.name)
    assert.is_true(readable(10000))
    assert.equal(256, core.cf_cell_watch_read(watch))
    local gone, reads = settle()
    assert.equal(600 - 256, gone)
    assert.is_true(reads >= 2)
    for i = 1, 600 do assert.equal(NAMESPACE_GONE, state(all[i])) end
  end)

  it("costs one watch for each directory, under whichever name, and none when it is removed", function()
    local ns, second = netns.make(true), netns.make(true)
    local first = add({ netns = ns.path })
    local same = add({ netns = "/var" .. second.path })
    assert.equal(1, directories())
    local other = add({ netns = link(ns, "cell") })
    assert.equal(2, directories())
    core.cf_cell_watch_remove(watch, first.watched)
    core.cf_cell_watch_remove(watch, other.watched)
    assert.equal(1, directories())
    netns.must("ip netns del %s", second.name)
    assert.equal(1, (settle()))
    core.cf_cell_watch_remove(watch, same.watched)
    assert.equal(0, directories())
  end)
end)

describe("a cell by tcx that nothing of ours pins", function()
  local watch, err, fds

  before_each(function()
    watch, err, fds = ffi.new("struct cf_cell_watch"), ffi.new("struct cf_error"), {}
    assert(core.cf_cell_watch_open(watch, err) == 0, ffi.string(err.text))
  end)

  after_each(function()
    core.cf_cell_watch_close(watch)
    for _, fd in pairs(fds) do ffi.C.close(fd) end
    netns.remove_all()
  end)

  local function add(at, cell, attachment)
    local fd, watched = assert(privileged.open(cell)), ffi.new("struct cf_cell_watched")
    fds[watched] = fd
    assert(core.cf_cell_watch_add(at, fd, cell, attachment, watched, err) == 0, ffi.string(err.text))
    return watched
  end

  local function unpin(watched)
    ffi.C.close(fds[watched])
    fds[watched] = nil
  end

  local function gone(at)
    return netns.eventually(function() return core.cf_cell_watch_read(at) == 1 end)
  end

  local function stays_while_pinned(ns)
    local cell = privileged.cell({ name = "x", netns = ns.path, interface = "e0", attach = ffi.C.CF_ATTACH_TCX })
    local object = assert(privileged.load(privileged.maps()))
    local attachment = assert(privileged.attach(cell, object))
    finally(function() core.cf_detach(attachment, cell, nil) end)
    local watched = add(watch, cell, attachment)
    netns.must("ip netns del %s", ns.name)
    for _ = 1, 3 do assert.equal(0, core.cf_cell_watch_read(watch)) end
    assert.equal(ALIVE, watched.state)
    unpin(watched) -- the last that kept it
    assert.is_true(gone(watch))
    assert.equal(NAMESPACE_GONE, watched.state)
  end

  it("does not end with its path while its namespace lives", function()
    stays_while_pinned(netns.make())
  end)

  it("does not end with an earlier namespace that had its number", function()
    local second, earlier = ffi.new("struct cf_cell_watch"), netns.make(true)
    assert(core.cf_cell_watch_open(second, err) == 0, ffi.string(err.text))
    finally(function() core.cf_cell_watch_close(second) end)
    local had = add(second, privileged.cell({ name = "y", netns = earlier.path }))
    unpin(had)
    netns.must("ip netns del %s", earlier.name)
    assert.is_true(gone(second)) -- and `watch` was told as well, and has not read it yet
    local ns, has
    for _ = 1, 10 do -- the kernel frees a number a moment after it tells so
      ns = netns.make()
      has = add(second, privileged.cell({ name = "x", netns = ns.path }))
      unpin(has)
      if has.nsid == had.nsid then break end
    end
    assert.equal(had.nsid, has.nsid)
    stays_while_pinned(ns)
  end)
end)
