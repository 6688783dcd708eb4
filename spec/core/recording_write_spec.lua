-- SPDX-License-Identifier: MIT
-- Writing recordings: what is left out, what a full disk costs, and which files are written to.
local ffi = require("ffi")
local helper = require("spec.helper")
local descriptors = require("descriptors")
local file = require("recording_file")
local made = require("made_recording")
local seeded = require("seeded")

local core, C = helper.core, ffi.C
local meta_frame, clock_frame, end_frame, batch_frame = file.meta_frame, file.clock_frame, file.end_frame,
  file.batch_frame

describe("writing a recording", function()
  local r, fd, recording, context, err

  before_each(function()
    r = seeded.new(13)
    err = ffi.new("struct cf_error")
    fd = descriptors.memory(0)
    recording, context = made.writer(fd)
  end)

  after_each(function()
    core.cf_recording_free(recording)
    descriptors.close(context[0])
  end)

  local function add(text) return core.cf_recording_add(recording, text, #text, err) end

  it("leaves out what no reader would take, and counts it", function()
    assert.equal(0, add(clock_frame())) -- before META
    assert.equal(0, add(meta_frame()))
    assert.equal(0, add(meta_frame()))
    assert.equal(0, add(batch_frame(r, 5, function(batch) batch.events[4].direction = 7 end)))
    assert.equal(0, add(end_frame(0, 0)))
    assert.equal(0, add("nonsense"))
    assert.equal(0, add(batch_frame(r, 5)))
    assert.equal(5, tonumber(recording.numbers.refused))
    assert.equal(0, core.cf_recording_end(recording, 9, 0, err))
    assert.equal(5, tonumber(recording.numbers.events))
  end)

  it("takes nothing behind the end", function()
    assert.equal(-1, core.cf_recording_end(recording, 9, 0, err)) -- of nothing
    assert.equal(0, add(meta_frame()))
    assert.equal(0, core.cf_recording_end(recording, 9, 1, err))
    assert.equal(-1, add(clock_frame()))
    assert.equal(-1, core.cf_recording_end(recording, 9, 0, err))
  end)

  it("ends with the first block that cannot be written, and names why", function()
    local other = descriptors.memory_that_cannot_grow()
    context[0] = other
    assert.equal(0, add(meta_frame()))
    assert.equal(-1, core.cf_recording_flush(recording, err))
    assert.equal("the recording cannot be written to: Operation not permitted", ffi.string(err.text))
    assert.equal(-1, add(clock_frame()))
    descriptors.close(other)
    context[0] = fd
  end)

  it("takes half a block back from a full disk", function()
    ffi.cdef("int setrlimit(int resource, const uint64_t *limits); int getrlimit(int resource, uint64_t *limits);")
    local FSIZE, SIGXFSZ, SIG_IGN = 1, 25, 1
    local old, new = ffi.new("uint64_t[2]"), ffi.new("uint64_t[2]")
    assert.equal(0, add(meta_frame()))
    assert.equal(0, core.cf_recording_flush(recording, err))
    local whole = descriptors.position(fd)
    assert.equal(0, add(batch_frame(r, 200)))
    C.getrlimit(FSIZE, old)
    new[0], new[1] = whole + 500, old[1]
    local before = C.signal(SIGXFSZ, ffi.cast("void (*)(int)", SIG_IGN))
    C.setrlimit(FSIZE, new)
    local rc = core.cf_recording_flush(recording, err)
    C.setrlimit(FSIZE, old)
    C.signal(SIGXFSZ, before)
    assert.equal(-1, rc)
    assert.truthy(ffi.string(err.text):find("File too large", 1, true))
    assert.equal(whole, tonumber(C.lseek(fd, 0, 2)))
    assert.equal(0, core.cf_recording_write_fd(context, "", 0))
  end)

  describe("into a file", function()
    local path

    before_each(function() path = os.tmpname() end)
    after_each(function() os.execute("rm -rf " .. path) end)

    local function create(replace)
      local new = ffi.new("int[1]")
      local rc = core.cf_recording_create(path, replace and 1 or 0, new, err)
      if rc == 0 then descriptors.close(new[0]) end
      return rc, ffi.string(err.text)
    end

    it("does not write over one that is there, unless it is told to", function()
      local handle = io.open(path, "w")
      handle:write("precious")
      handle:close()
      local rc, why = create()
      assert.equal(-1, rc)
      assert.truthy(why:find("exists already", 1, true))
      assert.equal("precious", io.open(path):read("*a"))
      assert.equal(0, (create(true)))
      assert.equal("", io.open(path):read("*a"))
      os.remove(path)
      assert.equal(0, (create()))
      local mode = io.popen("stat -c %a " .. path):read("*l")
      assert.equal("600", mode)
    end)

    it("takes no directory, FIFO or symbolic link for one", function()
      for _, make in ipairs({ "mkdir", "mkfifo", "ln -s /tmp/spec-no-such-file" }) do
        os.execute(("rm -rf %s; %s %s"):format(path, make, path))
        assert.equal(-1, (create(true)), make)
        assert.equal(-1, (create()), make)
      end
    end)
  end)
end)
