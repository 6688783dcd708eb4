-- SPDX-License-Identifier: MIT
-- tcpdump in a lab's cell: captures of real traffic, complete when stop() returns.
local lab = require("spec.support.lab")

local M = {}
local MARK = "the last packet of this capture"

--- Begin to capture into `path`; returns when it does. `options`: further words for tcpdump. The kernel's buffer has
--- slots of the length of a snapshot: with the default ones a few packets fill it.
function M.start(here, path, options)
  local words = "tcpdump -n -U --immediate-mode -Z root -B 32768 -s 2000 -w %s %s"
  local process = here:start("cell", words:format(path, options or "-i eth0"))
  lab.wait_for("tcpdump", 10, function() return lab.read_file(process.path):find("listening on", 1, true) end)
  return { process = process, path = path }
end

--- Send a marker to a port that the peer's sink has, and end all captures once they have it.
function M.stop(here, ...)
  here:exec("cell", ("bash -c 'printf \"%s\" >/dev/udp/%s/9000'"):format(MARK, lab.peer4))
  for _, capture in ipairs({ ... }) do
    lab.wait_for("the capture's last packet", 10, function()
      return (lab.read_file(capture.path) or ""):find(MARK, 1, true)
    end)
    here:stop(capture.process)
  end
end

return M
