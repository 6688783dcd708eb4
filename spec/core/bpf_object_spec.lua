-- SPDX-License-Identifier: MIT
-- core/bpf_object.c and what it stands on: which objects load, what is shared, and how each refusal reads.
local ffi = require("ffi")
local helper = require("spec.helper")
local privileged = require("privileged")
local netns = require("netns")

ffi.cdef([[
int mkfifo(const char *path, unsigned int mode);
int bpf_obj_get_info_by_fd(int fd, void *info, uint32_t *len);
]])

local objects = helper.build .. "/bpf/test/"

-- The first words of struct bpf_map_info.
local function map_info(fd)
  local info, len = ffi.new("uint32_t[20]"), ffi.new("uint32_t[1]", 80)
  assert(ffi.load("libbpf.so.1").bpf_obj_get_info_by_fd(fd, info, len) == 0)
  return { type = info[0], id = info[1], max_entries = info[4] }
end

describe("the built-in object", function()
  it("loads with both programs, or with the wanted one only", function()
    local both = assert(privileged.load(privileged.maps()))
    assert.is_true(both.prog_fd[0] >= 0 and both.prog_fd[1] >= 0 and both.prog_fd[0] ~= both.prog_fd[1])
    local egress = assert(privileged.load(privileged.maps(), { hooks = ffi.C.CF_PLAN_EGRESS }))
    assert.is_true(egress.prog_fd[ffi.C.CF_FLOW_EGRESS] >= 0)
    assert.equal(-1, egress.prog_fd[ffi.C.CF_FLOW_INGRESS])
    assert.equal(0, privileged.packets(both))
  end)

  it("shares ring, flow table and wake-up with the next, but not the counters", function()
    local maps = privileged.maps()
    local first = assert(privileged.load(maps, { cell = 1, ring_bytes = 131072, flow_entries = 2048 }))
    local ring = maps.ring_fd
    assert.is_true(ring >= 0 and maps.flows_fd >= 0 and maps.wake_fd >= 0)
    assert.equal(1, ffi.C.fcntl(ring, 1)) -- FD_CLOEXEC
    assert.same({ type = 27, id = map_info(ring).id, max_entries = 131072 }, map_info(ring))
    assert.equal(256, map_info(maps.flows_fd).max_entries) -- sets of 15, a power of two
    local second = assert(privileged.load(maps, { cell = 2, ring_bytes = 65536 }))
    assert.equal(ring, maps.ring_fd)
    assert.not_equal(map_info(first.stats_fd).id, map_info(second.stats_fd).id)
    local used = netns.must("bpftool prog show name cellflow_egress --json")
    local sharing = 0
    for ids in used:gmatch('"map_ids":%[([%d,]*)%]') do
      if ("," .. ids .. ","):find("," .. map_info(ring).id .. ",", 1, true) then sharing = sharing + 1 end
    end
    assert.equal(2, sharing)
  end)

  it("keeps the maps until they are closed, and unloads twice without harm", function()
    local maps = privileged.maps()
    local object = assert(privileged.load(maps))
    privileged.core.cf_bpf_unload(object)
    privileged.core.cf_bpf_unload(object)
    assert.equal(-1, object.prog_fd[0])
    assert.equal(27, map_info(maps.ring_fd).type)
    privileged.core.cf_bpf_maps_close(maps)
    privileged.core.cf_bpf_maps_close(maps)
    assert.equal(-1, maps.ring_fd)
  end)

  it("carries the cell's configuration", function()
    local object = assert(privileged.load(privileged.maps(), { cell = 77, link_len = 0 }))
    local found
    for id in netns.must("bpftool map show --json"):gmatch('"id":(%d+)[^{}]-"name":"%.rodata%.config"') do
      local dump = netns.run("bpftool map dump id %s | grep -q '\"cell\": 77'", id)
      local flat = dump and netns.must("bpftool map dump id %s", id) -- others of the host come and go
      if dump and flat:find('"link_len": 0', 1, true) and flat:find('"wake_interval_ns": 1000000', 1, true) then
        found = true
      end
    end
    assert.is_true(found)
    privileged.core.cf_bpf_unload(object)
  end)

  it("needs privileges and says which", function()
    local output = netns.must("setpriv --bounding-set=-all --inh-caps=-all --reuid=65534 --regid=65534 " ..
      "--clear-groups luajit spec/support/load_unprivileged.lua")
    assert.equal(ffi.C.CF_FAIL_UNSUPPORTED_HOST .. "\tloading BPF object (built in) is not permitted: " ..
      "needs root, or CAP_BPF and CAP_NET_ADMIN\n", output)
  end)
end)

describe("an operator's object", function()
  local directory

  before_each(function() directory = netns.must("mktemp -d"):gsub("\n", "") end)
  after_each(function() netns.must("rm -rf %s", directory) end)

  local function refused(path, kind, hooks)
    local maps = privileged.maps()
    local object, text, got = privileged.load(maps, { path = path, hooks = hooks or ffi.C.CF_PLAN_EGRESS })
    assert.is_nil(object)
    assert.equal(kind, got, text)
    assert.equal(-1, maps.ring_fd)
    assert.matches("^[^%c]*$", text)
    assert.matches("BPF object " .. path .. ": ", text, 1, true)
    return text
  end

  local function copy(name)
    netns.must("cp %s %s/%s && chown root %s/%s && chmod 644 %s/%s", objects .. "legacy_names.bpf.o", directory, name,
      directory, name, directory, name)
    return directory .. "/" .. name
  end

  it("loads by the last of the known names, without the optional maps", function()
    local maps = privileged.maps()
    local object = assert(privileged.load(maps, { path = copy("o"), hooks = ffi.C.CF_PLAN_EGRESS }))
    assert.is_true(object.prog_fd[0] >= 0 and maps.ring_fd >= 0)
    assert.equal(-1, object.stats_fd)
    assert.equal(-1, maps.flows_fd)
    assert.equal(-1, maps.wake_fd)
  end)

  it("is refused for a program that is wanted and not there", function()
    local text = refused(copy("o"), ffi.C.CF_FAIL_LOAD, 3)
    assert.matches("no program for ingress (looked for cellflow_ingress)", text, 1, true)
    netns.must("cp %s %s/p", objects .. "no_program.bpf.o", directory)
    text = refused(directory .. "/p", ffi.C.CF_FAIL_LOAD)
    assert.matches("no program for egress (looked for cellflow_egress, cellos_flow_egress, tc_egress, flow_classifier)",
      text, 1, true)
  end)

  it("is refused without a ring", function()
    netns.must("cp %s %s/o", objects .. "no_ring.bpf.o", directory)
    assert.matches("no ring-buffer map (looked for FLOW_EVENTS, flow_events)",
      refused(directory .. "/o", ffi.C.CF_FAIL_LOAD), 1, true)
  end)

  it("that the verifier refuses is refused in its words", function()
    netns.must("cp %s %s/o", objects .. "refused.bpf.o", directory)
    local text = refused(directory .. "/o", ffi.C.CF_FAIL_LOAD)
    assert.matches("the kernel's verifier refused it: ", text, 1, true)
    assert.matches("invalid access to packet, off=100 size=1", text, 1, true)
    assert.not_matches("processed %d+ insns", text)
  end)

  it("that is no ELF file is refused", function()
    netns.must("echo nonsense > %s/o", directory)
    assert.matches("not a BPF object file", refused(directory .. "/o", ffi.C.CF_FAIL_LOAD), 1, true)
  end)

  it("that is missing, a directory, a FIFO, a link or empty is refused and never waited for", function()
    local missing = ffi.C.CF_FAIL_OBJECT_MISSING
    assert.matches("No such file or directory", refused(directory .. "/none", missing), 1, true)
    assert.matches("is a directory, not a regular file", refused(directory, missing), 1, true)
    assert.equal(0, ffi.C.mkfifo(directory .. "/fifo", 384))
    assert.matches("is a FIFO, not a regular file", refused(directory .. "/fifo", missing), 1, true)
    netns.must("ln -s %s %s/link", copy("o"), directory)
    assert.matches("is a symbolic link", refused(directory .. "/link", missing), 1, true)
    netns.must(": > %s/empty", directory)
    assert.matches("has 0 bytes", refused(directory .. "/empty", missing), 1, true)
    netns.must("truncate -s 16777217 %s/big", directory)
    assert.matches("has 16777217 bytes; 1 to 16777216 are taken", refused(directory .. "/big", missing), 1, true)
  end)

  it("that others than root can write is refused", function()
    local missing, path = ffi.C.CF_FAIL_OBJECT_MISSING, copy("o")
    for _, mode in ipairs({ "666", "664", "646" }) do
      netns.must("chmod %s %s", mode, path)
      assert.matches("(chmod go-w " .. path .. ")", refused(path, missing), 1, true)
    end
    netns.must("chmod 644 %s && chown 65534 %s", path, path)
    assert.matches("belongs to uid 65534, not to root", refused(path, missing), 1, true)
  end)
end)

describe("the verifier's reason", function()
  local function reason(log, size)
    local out = ffi.new("char[?]", size or 200)
    privileged.core.cf_verifier_reason(log, out, size or 200)
    return ffi.string(out)
  end

  it("is the last lines before the statistics", function()
    assert.equal("b; c; d", reason("a\nb\nc\nd\nprocessed 3 insns (limit 1000000)\n"))
    assert.equal("b; c; d", reason("a\nb\nc\n\nd\nprocessed 3 insns\n"))
    assert.equal("only", reason("only"))
    assert.equal("", reason(""))
    assert.equal("", reason("processed 3 insns\n"))
  end)

  it("stays within its bounds", function()
    assert.equal(197, #reason(("x"):rep(5000)))
    assert.equal("", reason("text\n", 1))
  end)
end)
