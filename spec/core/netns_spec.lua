-- SPDX-License-Identifier: MIT
-- core/netns.c on real namespaces: what opens and what is refused, and that we always come back.
local ffi = require("ffi")
local privileged = require("privileged")
local netns = require("netns")

ffi.cdef([[
int mkfifo(const char *path, unsigned int mode);
long readlink(const char *path, char *out, size_t size);
]])

local SETNS = ffi.C.CF_FAIL_SETNS

local function own()
  local out = ffi.new("char[64]")
  local len = ffi.C.readlink("/proc/thread-self/ns/net", out, 64)
  return ffi.string(out, len)
end

describe("a cell's namespace", function()
  local directory

  before_each(function() directory = netns.must("mktemp -d"):gsub("\n", "") end)
  after_each(function()
    netns.remove_all()
    netns.must("rm -r %s", directory)
  end)

  local function refused(path)
    local fd, text, kind = privileged.open(privileged.cell({ name = "x", netns = path }))
    assert.is_nil(fd)
    assert.equal(SETNS, kind)
    return text
  end

  it("is found by its path, and is another one than ours", function()
    local ns = netns.make(true)
    local fd = assert(privileged.open(privileged.cell({ netns = ns.path })))
    local id = privileged.identity(fd)
    local home = assert(privileged.open(privileged.cell({ netns = "/proc/self/ns/net" })))
    local other = privileged.identity(home)
    assert.is_true(id.cookie ~= 0 and id.cookie ~= other.cookie and id.ino ~= other.ino)
    assert.equal(1, privileged.core.cf_netns_same(id, id))
    assert.equal(0, privileged.core.cf_netns_same(id, other))
    assert.equal(1, ffi.C.fcntl(fd, 1)) -- F_GETFD: FD_CLOEXEC
    ffi.C.close(fd)
    ffi.C.close(home)
  end)

  it("is found by a process in it", function()
    local ns = netns.make(true)
    local pid = tonumber(netns.must("ip netns exec %s sh -c 'sleep 60 >/dev/null 2>&1 & echo $!'", ns.name))
    local fd, text = privileged.open(privileged.cell({ pid = pid }))
    local by_path = assert(privileged.open(privileged.cell({ netns = ns.path })))
    local same = fd and privileged.core.cf_netns_same(privileged.identity(fd), privileged.identity(by_path))
    netns.must("kill %d", pid)
    ffi.C.close(by_path)
    assert.is_nil(text)
    ffi.C.close(fd)
    assert.equal(1, same)
  end)

  it("that is missing says how to make it", function()
    assert.equal('cell "x": no network namespace at /run/netns/cf-none (create it with: ip netns add cf-none)',
      refused("/run/netns/cf-none"))
    assert.equal('cell "x": network namespace ' .. directory .. "/n: No such file or directory (is the cell running?)",
      refused(directory .. "/n"))
  end)

  it("is not a directory, a regular file, a FIFO or a namespace of another type", function()
    assert.matches("is a directory, not a network namespace", refused(directory), 1, true)
    netns.must("echo > %s/file", directory)
    assert.matches("is a regular file, not a network namespace", refused(directory .. "/file"), 1, true)
    assert.equal(0, ffi.C.mkfifo(directory .. "/fifo", 384))
    assert.matches("is a FIFO, not a network namespace", refused(directory .. "/fifo"), 1, true)
    assert.matches("of another type", refused("/proc/self/ns/mnt"), 1, true)
  end)

  it("of a process that ended is refused by its pid", function()
    local pid = tonumber(netns.must("sh -c 'echo $$'"))
    local fd, text, kind = privileged.open(privileged.cell({ name = "x", pid = pid }))
    assert.is_nil(fd)
    assert.equal(SETNS, kind)
    assert.equal(('cell "x": no process %d, so no network namespace of it (is the cell running?)'):format(pid), text)
  end)

  it("needs a path or a pid", function()
    assert.matches('cell "x": neither netns nor pid is given', refused(""), 1, true)
  end)
end)

describe("one thing done inside", function()
  after_each(netns.remove_all)

  it("happens there, and we are back afterwards, also when it fails", function()
    local cell = privileged.cell({ netns = netns.make(true).path })
    local home, there = own(), nil
    privileged.inside(cell, function() there = own() end)
    assert.not_equal(home, there)
    assert.equal(home, own())
    assert.has_error(function() privileged.inside(cell, function() error("no", 0) end) end, "no")
    assert.equal(home, own())
  end)

  it("passes on what the function returned", function()
    local fd = assert(privileged.open(privileged.cell({ netns = netns.make(true).path })))
    local home = own()
    for _, value in ipairs({ 7, -5 }) do
      local callback = ffi.cast("int (*)(void *)", function() return value end)
      jit.off()
      assert.equal(value, privileged.core.cf_netns_do(fd, callback, nil, nil))
      jit.on()
      callback:free()
      assert.equal(home, own())
    end
    ffi.C.close(fd)
  end)

  it("does not happen when the descriptor is no namespace", function()
    local err = ffi.new("struct cf_error")
    local called = false
    local callback = ffi.cast("int (*)(void *)", function() called = true return 0 end)
    assert.equal(-1, privileged.core.cf_netns_do(0, callback, nil, err))
    callback:free()
    assert.is_false(called)
    assert.equal(SETNS, err.kind)
    assert.matches("^entering the network namespace: ", ffi.string(err.text))
  end)

  it("ends the process when there is no way back", function()
    local ns = netns.make(true)
    local ok, output = netns.run("luajit spec/support/no_way_back.lua %s", ns.path)
    assert.is_false(ok)
    assert.matches("returning to the own network namespace: Bad file descriptor; giving up", output, 1, true)
    assert.not_matches("still here", output, 1, true)
  end)
end)
