-- SPDX-License-Identifier: MIT
-- core/bpf_object.c and what it stands on: which objects load, what is shared, and how each refusal reads.
local ffi = require("ffi")
local helper = require("spec.helper")
local privileged = require("privileged")
local netns = require("netns")

ffi.cdef([[
int bpf_obj_get_info_by_fd(int fd, void *info, uint32_t *len);
]])

local objects = helper.build .. "/bpf/test/"

-- The first words of struct bpf_map_info.
local function map_info(fd)
  local info, len = ffi.new("uint32_t[20]"), ffi.new("uint32_t[1]", 80)
  assert(ffi.load("libbpf.so.1").bpf_obj_get_info_by_fd(fd, info, len) == 0)
  return { type = info[0], id = info[1], max_entries = info[4] }
end

local function program_id(fd)
  local info, len = ffi.new("uint32_t[58]"), ffi.new("uint32_t[1]", 232) -- struct bpf_prog_info begins: type, id
  assert(ffi.load("libbpf.so.1").bpf_obj_get_info_by_fd(fd, info, len) == 0)
  return info[1]
end

-- bpftool's, which has the whole name from BTF where the kernel's own is cut at 15 bytes.
local function program_name(fd)
  return netns.must("bpftool prog show id %s --json", program_id(fd)):match('"name":"([^"]*)"')
end

-- Program id -> set of the ids of its maps.
local function programs_maps()
  local list = {}
  for id, maps in netns.must("bpftool prog show --json"):gmatch('{"id":(%d+),[^{}]-"map_ids":%[([%d,]*)%]') do
    local set = {}
    for map in maps:gmatch("%d+") do set[tonumber(map)] = true end
    list[tonumber(id)] = set
  end
  return list
end

local ARRAY, RINGBUF = 2, 27 -- enum bpf_map_type

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
    assert.same({ type = ARRAY, id = map_info(ring).id, max_entries = 1024 + 1024 }, map_info(ring))
    assert.equal(256 + 8, map_info(maps.flows_fd).max_entries) -- sets of 15, a power of two, and their tags
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
    assert.same({ ARRAY, RINGBUF }, { map_info(maps.ring_fd).type, map_info(maps.bell_fd).type })
    privileged.core.cf_bpf_maps_close(maps)
    privileged.core.cf_bpf_maps_close(maps)
    assert.same({ -1, -1 }, { maps.ring_fd, maps.bell_fd })
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
      "needs root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN\n", output)
  end)

  it("says that the verifier is stricter where it is", function()
    for dropped, says in pairs({ ["-perfmon"] = "refused it: ", ["-sys_admin,-perfmon"] = "refused it (it is stricter "
      .. "without CAP_PERFMON): " }) do
      local output = netns.must(("setpriv --bounding-set=%s luajit spec/support/load_unprivileged.lua "
        .. "%s/bpf/test/refused.bpf.o"):format(dropped, helper.build))
      assert.matches("the kernel's verifier " .. says, output, 1, true)
    end
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

  -- A copy, named `name`, of the object `of`; returns its path.
  local function copy(name, of)
    netns.must("cp %s %s/%s && chown root %s/%s && chmod 644 %s/%s", objects .. (of or "legacy_names") .. ".bpf.o",
      directory, name, directory, name, directory, name)
    return directory .. "/" .. name
  end

  it("loads by the last of the known names, without the optional maps", function()
    local maps = privileged.maps()
    local object = assert(privileged.load(maps, { path = copy("o"), hooks = ffi.C.CF_PLAN_EGRESS }))
    assert.is_true(object.prog_fd[0] >= 0 and object.ring_fd >= 0)
    assert.equal(4096, tonumber(object.ring_size))
    assert.equal(-1, object.stats_fd)
    assert.equal(-1, maps.flows_fd)
    assert.equal(-1, maps.wake_fd)
  end)

  it("loads by every name that is looked for, the first one first", function()
    for name, program in pairs({ frozen = "tc_egress", frozen_mixed = "cellos_flow_egress",
      legacy_names = "flow_classifier" }) do
      local path = copy(name, name)
      local object = assert(privileged.load(privileged.maps(), { path = path, hooks = ffi.C.CF_PLAN_EGRESS }))
      assert.equal(program, program_name(object.prog_fd[0]))
      privileged.core.cf_bpf_unload(object)
    end
    local ours = assert(privileged.load(privileged.maps()))
    assert.equal("cellflow_egress", program_name(ours.prog_fd[0]))
  end)

  -- Everything that cells share when they run the built-in object.
  local function shared(maps)
    return { ring = map_info(maps.ring_fd).id, bell = map_info(maps.bell_fd).id, flows = map_info(maps.flows_fd).id,
      wake = map_info(maps.wake_fd).id }
  end

  it("has ring, flow table and wake-up for itself, even one that is ours", function()
    local maps = privileged.maps()
    local ours = assert(privileged.load(maps))
    local before = shared(maps)
    local built, text = privileged.load(maps, { path = copy("o", "../cellflow") })
    assert(built, text)
    local frozen = assert(privileged.load(maps, { path = copy("f", "frozen"), hooks = ffi.C.CF_PLAN_EGRESS }))
    local again = assert(privileged.load(maps, { path = copy("f", "frozen"), hooks = ffi.C.CF_PLAN_EGRESS }))
    assert.same(before, shared(maps))
    assert.equal(-1, ours.ring_fd)
    local rings, used = { [before.ring] = true }, programs_maps()
    for _, object in ipairs({ built, frozen, again }) do
      assert.equal(1, ffi.C.fcntl(object.ring_fd, 1)) -- FD_CLOEXEC
      local info = map_info(object.ring_fd)
      if object == built then
        assert.same({ ARRAY, 1024 + tonumber(object.ring_size) / 128 }, { info.type, info.max_entries })
        assert.equal(RINGBUF, map_info(object.bell_fd).type)
      else
        assert.same({ RINGBUF, tonumber(object.ring_size), -1 }, { info.type, info.max_entries, object.bell_fd })
      end
      assert.is_nil(rings[info.id])
      rings[info.id] = true
      local maps_of = used[program_id(object.prog_fd[0])]
      assert.is_true(maps_of[info.id])
      for _, id in pairs(before) do assert.is_nil(maps_of[id]) end
    end
    assert.equal(262144, tonumber(frozen.ring_size)) -- as the object says, whatever size ours was given
    assert.is_true(built.stats_fd >= 0)
    assert.equal(-1, frozen.stats_fd)
  end)

  it("leaves a shared ring for the others, of the size that was asked for", function()
    local maps = privileged.maps()
    local object = assert(privileged.load(maps, { path = copy("o"), hooks = ffi.C.CF_PLAN_EGRESS,
      ring_bytes = 131072 }))
    local ring = map_info(maps.ring_fd)
    assert.same({ type = ARRAY, id = ring.id, max_entries = 1024 + 1024 }, ring)
    assert.equal(RINGBUF, map_info(maps.bell_fd).type)
    assert.not_equal(ring.id, map_info(object.ring_fd).id)
    assert.equal(1, ffi.C.fcntl(maps.ring_fd, 1)) -- FD_CLOEXEC
    local ours = assert(privileged.load(maps))
    assert.is_true(programs_maps()[program_id(ours.prog_fd[0])][ring.id])
    assert.equal(ring.id, map_info(maps.ring_fd).id)
  end)

  it("gives its ring back when it is unloaded", function()
    local object = assert(privileged.load(privileged.maps(), { path = copy("o"), hooks = ffi.C.CF_PLAN_EGRESS }))
    local fd = object.ring_fd
    privileged.core.cf_bpf_unload(object)
    assert.equal(-1, object.ring_fd)
    assert.equal(-1, ffi.C.fcntl(fd, 1))
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
