-- SPDX-License-Identifier: MIT
-- core/bpf_file.c: whose files, along which paths, may become programs in the kernel, and how each refusal reads.
local ffi = require("ffi")
local helper = require("spec.helper")
local privileged = require("privileged")
local netns = require("netns")

ffi.cdef([[
int mkfifo(const char *path, unsigned int mode);
int chdir(const char *path);
]])

local EGRESS, MISSING = ffi.C.CF_PLAN_EGRESS, ffi.C.CF_FAIL_OBJECT_MISSING

describe("the file of an operator's object", function()
  local directory

  before_each(function() directory = netns.must("mktemp -d"):gsub("\n", "") end)
  after_each(function() netns.must("rm -rf %s", directory) end)

  local function load(path) return privileged.load(privileged.maps(), { path = path, hooks = EGRESS }) end

  local function refused(path)
    local object, text, kind = load(path)
    assert.is_nil(object)
    assert.equal(MISSING, kind, text)
    assert.matches("^[^%c]*$", text)
    assert.matches("BPF object " .. path .. ": ", text, 1, true)
    return text
  end

  local function copy(name)
    local path = directory .. "/" .. name
    netns.must("cp %s/bpf/test/legacy_names.bpf.o %s && chown root %s && chmod 644 %s", helper.build, path, path, path)
    return path
  end

  it("that is missing, a directory, a FIFO, a link or empty is refused and never waited for", function()
    assert.matches("No such file or directory", refused(directory .. "/none"), 1, true)
    assert.matches("is a directory, not a regular file", refused(directory), 1, true)
    assert.equal(0, ffi.C.mkfifo(directory .. "/fifo", 384))
    assert.matches("is a FIFO, not a regular file", refused(directory .. "/fifo"), 1, true)
    netns.must("ln -s %s %s/link", copy("o"), directory)
    assert.matches("is a symbolic link", refused(directory .. "/link"), 1, true)
    netns.must(": > %s/empty", directory)
    assert.matches("has 0 bytes", refused(directory .. "/empty"), 1, true)
    netns.must("truncate -s 16777217 %s/big", directory)
    assert.matches("has 16777217 bytes; 1 to 16777216 are taken", refused(directory .. "/big"), 1, true)
  end)

  it("in a directory that others than root can write is refused, whichever of the path it is", function()
    netns.must("mkdir -p %s/a/b", directory)
    copy("a/b/o")
    local path = directory .. "/a/b/o"
    for _, at in ipairs({ directory, directory .. "/a", directory .. "/a/b" }) do
      for _, mode in ipairs({ "777", "775", "757" }) do
        netns.must("chmod %s %s", mode, at)
        assert.matches("directory " .. at .. " may be written by others than its owner (chmod go-w " .. at .. ")",
          refused(path), 1, true)
      end
      netns.must("chmod 1777 %s", at) -- as /tmp: others cannot touch what is root's
      privileged.core.cf_bpf_unload(load(path))
      netns.must("chmod 755 %s && chown 65534 %s", at, at)
      assert.matches("directory " .. at .. " belongs to uid 65534, not to root", refused(path), 1, true)
      netns.must("chown 0 %s", at)
    end
    assert(load((path:gsub("/", "//"))))
  end)

  it("by way of a link to a directory, or of a file, is refused", function()
    netns.must("mkdir %s/a && ln -s a %s/link", directory, directory)
    copy("a/o")
    assert.matches(directory .. "/link is a symbolic link; give the path without it",
      refused(directory .. "/link/o"), 1, true)
    assert.matches("Not a directory", refused(directory .. "/a/o/o"), 1, true)
    assert.matches("Is a directory", refused(directory .. "/a/"), 1, true)
    assert.matches("No such file or directory", refused(directory .. "/none/o"), 1, true)
    assert.matches("File name too long", refused(directory .. "/" .. ("x"):rep(256)), 1, true)
  end)

  it("by a path from here is read from a directory that is root's", function()
    copy("o")
    local here = netns.must("pwd"):gsub("\n", "")
    assert.equal(0, ffi.C.chdir(directory))
    local object, text = load("o")
    netns.must("chmod 777 %s", directory)
    local none, why = load("o")
    assert.equal(0, ffi.C.chdir(here))
    assert(object, text)
    assert.is_nil(none)
    assert.equal("BPF object o: directory . may be written by others than its owner (chmod go-w .)", why)
  end)

  it("that others than root can write is refused", function()
    local path = copy("o")
    for _, mode in ipairs({ "666", "664", "646" }) do
      netns.must("chmod %s %s", mode, path)
      assert.matches("(chmod go-w " .. path .. ")", refused(path), 1, true)
    end
    netns.must("chmod 644 %s && chown 65534 %s", path, path)
    assert.matches("belongs to uid 65534, not to root", refused(path), 1, true)
  end)
end)
