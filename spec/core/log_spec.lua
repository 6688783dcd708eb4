-- SPDX-License-Identifier: MIT
-- Log lines where nobody reads them: what does not find room in time is left out, counted and told, and the others come
-- whole.
local ffi = require("ffi")
local core = require("spec.helper").core

ffi.cdef([[
void cf_log_patience(uint32_t ms, uint64_t *lost);
int pipe2(int *fds, int flags);
int dup(int fd);
int dup2(int from, int to);
int close(int fd);
long read(int fd, void *out, size_t size);
]])

local STDERR, PIPE_LEN = 2, 65536
local LINE = ("x"):rep(999 - #"cellflow: ")

describe("a log that nobody reads", function()
  local fds, kept, lost
  before_each(function()
    fds, lost = ffi.new("int[2]"), ffi.new("uint64_t[1]")
    assert.equal(0, ffi.C.pipe2(fds, 0))
    kept = ffi.C.dup(STDERR)
    ffi.C.dup2(fds[1], STDERR)
  end)
  after_each(function()
    ffi.C.dup2(kept, STDERR)
    core.cf_log_patience(0xffffffff, nil)
    for _, fd in ipairs({ kept, fds[0], fds[1] }) do ffi.C.close(fd) end
  end)

  local function log(text) core.cf_log_text(2, text, #text) end

  local function read_all()
    local out, buffer = {}, ffi.new("char[?]", PIPE_LEN)
    ffi.C.close(STDERR) -- and the pipe's other writer, for the end of the file
    ffi.C.close(fds[1])
    repeat
      local len = ffi.C.read(fds[0], buffer, PIPE_LEN)
      out[#out + 1] = ffi.string(buffer, len)
    until len == 0
    return table.concat(out)
  end

  it("loses what has no room, by the line, and says so when there is room again", function()
    core.cf_log_patience(1, lost)
    for _ = 1, 200 do log(LINE) end
    local written = 200 - tonumber(lost[0])
    assert.is_true(written >= 60 and written < 66, written)
    local buffer = ffi.new("char[?]", PIPE_LEN)
    assert.equal(written * 1000, tonumber(ffi.C.read(fds[0], buffer, PIPE_LEN)))
    log("here again")
    assert.equal(200, written + tonumber(lost[0]))
    assert.equal(("cellflow: warning: %d log lines were lost: nobody read them in time\ncellflow: here again\n"):format(
      200 - written), read_all())
  end)

  it("waits for a reader by default", function()
    log(LINE)
    assert.equal(1000, #read_all())
  end)
end)
