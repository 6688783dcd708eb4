-- SPDX-License-Identifier: GPL-2.0-only
-- One text, three readers: the structs of event.h and flow.h have the same size and offsets in the BPF object's BTF,
-- in C and in Lua; and the maps are what a loader that shares them expects.
local ffi = require("ffi")
local run = require("bpf_run")
local bpf = require("bpf_libbpf")

ffi.cdef([[
struct btf;
struct spec_btf_type { uint32_t name_off, info, size; };
struct spec_btf_member { uint32_t name_off, type, offset; };
struct btf *bpf_object__btf(const struct bpf_object *object);
int btf__find_by_name_kind(const struct btf *btf, const char *name, uint32_t kind);
const void *btf__type_by_id(const struct btf *btf, uint32_t id);
const char *btf__name_by_offset(const struct btf *btf, uint32_t offset);
]])

local BTF_STRUCT = 4
local STRUCTS = { "cf_event", "cf_flow_key", "cf_flow", "cf_flow_tags", "cf_flow_set", "cf_flow_secret",
  "cf_flow_ended", "cf_stats", "cf_bpf_config", "cf_wake", "cf_slot" }

describe("the layout in the BPF object", function()
  local object

  setup(function() object = bpf.open(run.object_path) end)
  teardown(function() bpf.close(object) end)

  -- Size and members { name, offset in bytes } of a struct.
  local function layout(name)
    local btf = bpf.lib.bpf_object__btf(object)
    local id = bpf.lib.btf__find_by_name_kind(btf, name, BTF_STRUCT)
    assert(id > 0, "no " .. name .. " in the BTF")
    local struct = ffi.cast("const struct spec_btf_type *", bpf.lib.btf__type_by_id(btf, id))
    local member = ffi.cast("const struct spec_btf_member *", struct + 1)
    local members = {}
    for i = 0, struct.info % 65536 - 1 do
      members[i + 1] = { ffi.string(bpf.lib.btf__name_by_offset(btf, member[i].name_off)), member[i].offset / 8 }
    end
    return struct.size, members
  end

  for _, name in ipairs(STRUCTS) do
    it("is Lua's of " .. name, function()
      local size, members = layout(name)
      assert.equal(ffi.sizeof("struct " .. name), size)
      assert.is_true(#members > 0)
      for _, m in ipairs(members) do assert.equal(ffi.offsetof("struct " .. name, m[1]), m[2], m[1]) end
    end)
  end

  it("is C's", function()
    local compiler = os.getenv("CC") or "cc"
    if os.execute(compiler .. " --version >/dev/null 2>&1") ~= 0 then pending("no C compiler: " .. compiler) end
    local source = { '#include "event.h"\n#include "flow.h"\n' }
    for _, name in ipairs(STRUCTS) do
      local size, members = layout(name)
      source[#source + 1] = ('_Static_assert(sizeof(struct %s) == %d, "");\n'):format(name, size)
      for _, m in ipairs(members) do
        source[#source + 1] =
          ('_Static_assert(__builtin_offsetof(struct %s, %s) == %d, "");\n'):format(name, m[1], m[2])
      end
    end
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(table.concat(source))
    file:close()
    local status = os.execute(("%s -std=gnu11 -Icore -fsyntax-only -x c %s"):format(compiler, path))
    os.remove(path)
    assert.equal(0, status)
  end)

  it("has the maps that cells share, at their sizes", function()
    local ring, per_cpu, array = 27, 6, 2
    for name, expected in pairs({
      FLOW_EVENTS = { array, 1024 + 131072 }, FLOW_BELL = { ring, 4096 }, FLOWS = { array, 16384 + 512 }, STATS = { per_cpu, 1 },
      WAKE = { array, 1 },
    }) do
      assert.equal(expected[1], bpf.lib.bpf_map__type(bpf.map(object, name)), name)
      assert.equal(expected[2], bpf.max_entries(object, name), name)
    end
  end)

  it("has the configuration as a map of its own, with its defaults", function()
    local size = ffi.new("size_t[1]")
    local value = bpf.lib.bpf_map__initial_value(bpf.map(object, ".rodata.config"), size)
    local config = ffi.cast("const struct cf_bpf_config *", value)
    assert.equal(ffi.sizeof("struct cf_bpf_config"), tonumber(size[0]))
    assert.equal(1000000, tonumber(config.wake_interval_ns))
    assert.equal(14, config.link_len)
    assert.equal(0, config.cell)
  end)
end)
