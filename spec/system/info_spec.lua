-- SPDX-License-Identifier: MIT
-- `cellflow info` on recordings that are whole, damaged, cut off by a kill, or none at all: what it says, its exit
-- code, and that it comes back.
local dkjson = require("dkjson")
local ffi = require("ffi")
local bit = require("bit")
local helper = require("spec.helper")
local descriptors = require("descriptors")
local made = require("made_recording")
local strict_json = require("strict_json")
local verb = require("verb")

local core, C = helper.core, ffi.C

-- The lines of stdout as tables.
local function parsed(out)
  local list = {}
  for line in out:gmatch("([^\n]*)\n") do
    if strict_json.available then assert.is_true(strict_json.is_object(line, #line)) end
    list[#list + 1] = assert(dkjson.decode(line), line)
  end
  return list
end

describe("info", function()
  local place

  before_each(function() place = verb.open() end)
  after_each(function() place:close() end)

  local function json(words)
    local code, out, err = place:run("info --json " .. words)
    return parsed(out), code, err
  end

  it("tells all of a whole recording, without privileges", function()
    place:write("a.rec", made.bytes(5000, { seed = 3, flush = 4 }))
    os.execute(("chmod 755 %s; chmod 644 %s/a.rec"):format(place.path, place.path))
    local pipe = io.popen(("cd %s && setpriv --reuid 65534 --regid 65534 --clear-groups %s info --json a.rec"):format(
      place.path, place.program))
    local info = parsed(pipe:read("*a"))[1]
    pipe:close()
    assert.same({ "ended", "1.0", "lab-1", "6.18.0", "run-7", "sha256:abc", "egress.lua", "1234567890abcdef" },
      { info.state, info.version, info.host, info.kernel, info.run_id, info.policy_digest, info.policy_file,
        info.recording })
    assert.same({ { "env", "lab" } }, info.args)
    assert.equal(5000, info.events)
    assert.equal(20, info.batches)
    assert.equal("2026-11-18T12:30:00.000000000Z", info.first_time)
    assert.truthy(info.last_time:find("^2026%-11%-18T12:30:00%.%d+Z$"))
    local kinds, cells = 0, 0
    for _, n in pairs(info.by_kind) do kinds = kinds + n end
    for _, cell in ipairs(info.cells) do cells = cells + cell.events end
    assert.same({ 5000, 5000, 3 }, { kinds, cells, #info.cells })
    assert.equal(info.by_source.nflog, info.by_kind.logged)
    assert.equal(info.file_bytes, info.readable_bytes)
    assert.is_true(math.abs(info.bytes_per_event - info.file_bytes / 5000) < 0.01)
    assert.same({}, info.lost)
  end)

  it("shows the same to people, several files one after the other", function()
    place:write("a.rec", made.bytes(300))
    place:write("b.rec", made.bytes(40, { cut = true }))
    local code, out, err = place:run("info a.rec b.rec")
    assert.same({ 0, "" }, { code, err })
    for _, text in ipairs({ "a.rec: recording, version 1.0, whole\n", "\n  events          300 in 2 batches\n",
      "\nb.rec: recording, version 1.0, without an end: what wrote it was killed, or still writes\n",
      "\n  host            lab-1\n", "\n  arg             env=lab\n", "\n  lost            none\n",
      "\n  cell            cell-0, eth0: ", "\n  policy_digest   sha256:abc\n" }) do
      assert.truthy(("\n" .. out):find(text, 1, true), text .. " is not in\n" .. out)
    end
  end)

  it("counts losses, and follows cells and policies over a reload", function()
    local path = place.path .. "/a.rec"
    local fd = descriptors.open(path, bit.bor(descriptors.O_WRONLY, descriptors.O_CREAT))
    local recording, context = made.writer(fd)
    local room, size = made.room()
    local function add(memory, len) assert.equal(0, core.cf_recording_add(recording, memory, len, nil)) end
    local function events(count, cell)
      local batch = ffi.new("struct cf_batch")
      made.traffic(5, { cells = 1 }):batch(batch, count)
      for i = 0, count - 1 do batch.events[i].cell = cell end
      add(room, core.cf_frame_put_batch(room, size, 9, batch))
    end
    local kept = made.begin(add, 2)
    events(10, 0)
    events(5, 1)
    local losses = ffi.new("struct cf_loss[2]", { { 7, C.CF_LOSS_RING_FULL, 4096 }, { 2, C.CF_LOSS_UNRECORDED, 0 } })
    add(room, core.cf_frame_put_loss(room, size, 9, losses, 2))
    add(room, core.cf_frame_put_loss(room, size, 9, losses, 1))
    local meta, kept_too = made.meta({ generation = 4, texts = { [5] = "sha256:def" } })
    add(room, core.cf_frame_put_meta(room, size, C.CF_FRAME_GENERATION, meta))
    for i, name in ipairs({ "cell-1", "new\27[31m" }) do
      local cell = ffi.new("struct cf_plan_cell", { name = name })
      add(room, core.cf_frame_put_cell(room, size, i - 1, cell))
    end
    events(3, 0)
    events(4, 1)
    events(1, 9)
    assert.equal(0, core.cf_recording_end(recording, 10, 1, nil))
    core.cf_recording_free(recording)
    descriptors.close(context[0])
    assert.is_true(#kept + #kept_too > 0)
    local info = json("a.rec")[1]
    assert.equal("continues", info.state)
    assert.same({ 1, 4, 2, "sha256:abc", "sha256:def" }, { info.generation, info.last_generation, info.generations,
      info.policy_digest, info.last_policy_digest })
    assert.same({ ring_full = 14, unrecorded = 2 }, info.lost)
    local by_name = {}
    for _, cell in ipairs(info.cells) do by_name[cell.cell_id] = cell.events end
    assert.same({ ["cell-0"] = 10, ["cell-1"] = 8, ["new\27[31m"] = 4 }, by_name)
    assert.equal(1, info.events_of_no_cell)
    local _, out = place:run("info a.rec")
    assert.is_nil(out:find("\27", 1, true))
    assert.truthy(out:find("new\\x1b[31m: 4 events", 1, true))
    assert.truthy(out:find("lost            ring_full 14, unrecorded 2\n", 1, true))
  end)

  it("says how much is readable of a damaged or cut recording, with exit code 1", function()
    local bytes = made.bytes(3000, { flush = 2 })
    place:write("cut.rec", bytes:sub(1, -20))
    place:write("flipped.rec", bytes:sub(1, 20000) .. "x" .. bytes:sub(20002))
    for file, why in pairs({ ["cut.rec"] = "is cut off within a block",
      ["flipped.rec"] = "is damaged: the checksum" }) do
      local list, code, err = json(file)
      assert.equal(1, code)
      assert.equal("damaged", list[1].state)
      assert.is_true(list[1].events > 0 and list[1].events < 3001)
      assert.truthy(list[1].error:find(file .. ": " .. why, 1, true))
      assert.truthy(list[1].error:find(("at byte %d; readable before it: %d events, "):format(list[1].readable_bytes,
        list[1].events), 1, true))
      assert.equal("cellflow: error: " .. list[1].error .. "\n", err)
      local _, out = place:run("info " .. file)
      assert.truthy(out:find("DAMAGED: what follows is what could be read", 1, true))
    end
  end)

  it("refuses what is no recording, and does not hang on it", function()
    place:write("empty", "")
    place:write("text", "a text\n")
    local other = made.bytes(10)
    place:write("other", other:sub(1, 8) .. "\9\0" .. other:sub(11))
    os.execute(("cd %s && mkfifo fifo && mkdir directory && ln -s nowhere link"):format(place.path))
    for file, why in pairs({ empty = "is empty", text = "is no recording of cellflow",
      fifo = "is a FIFO, want a recording",
      other = "is a recording of version 9.0, and this cellflow reads version 1",
      directory = "is a directory, want a recording", link = "No such file or directory",
      ["/dev/zero"] = "is no regular file, want a recording" }) do
      local list, code, err = json(file)
      assert.equal(1, code)
      local size = list[1].file_bytes
      assert.same({ { file = file, state = "unreadable", error = file .. ": " .. why, file_bytes = size } }, list)
      assert.equal("cellflow: error: " .. file .. ": " .. why .. "\n", err)
    end
    local code, out = place:run("info empty text")
    assert.same({ 1, "" }, { code, out })
  end)

  it("has exit code 2 without a file, and 1 when nobody can read what it says", function()
    local code, _, err = place:run("info")
    assert.equal(2, code)
    assert.truthy(err:find("info: want at least one recording", 1, true))
    place:write("a.rec", made.bytes(30))
    code = os.execute(("cd %s && %s info a.rec >/dev/full 2>stderr"):format(place.path, place.program))
    assert.equal(256, code)
  end)

  it("reads what a killed writer left: everything but the last block", function()
    local path = place.path .. "/a.rec"
    local script = [[
      package.path = "./?.lua;" .. package.path
      require("spec.helper")
      local made, descriptors = require("made_recording"), require("descriptors")
      made.write(descriptors.open(arg[1], 0x41), 1e9, { flush = 1 })]]
    place:write("writer.lua", script)
    for round = 1, 5 do
      os.remove(path)
      local pipe = io.popen(([[{
        luajit %s/writer.lua %s & pid=$!
        for i in $(seq 1000); do [ "$(stat -c %%s %s)" -gt %d ] && break; sleep 0.01; done
        kill -9 $pid
        wait $pid
      } 2>/dev/null; echo done]]):format(place.path, path, path, round * 30000))
      assert.truthy(pipe:read("*a"):find("done", 1, true))
      pipe:close()
      local list, code = json("a.rec")
      local info = list[1]
      assert.is_true(info.state == "not_ended" and code == 0 or info.state == "damaged" and code == 1, info.state)
      assert.is_true(info.events > 0 and info.events % 256 == 0)
      assert.is_true(info.file_bytes - info.readable_bytes < 65536)
      assert.equal(info.batches, info.blocks)
    end
  end)
end)
