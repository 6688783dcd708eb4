-- SPDX-License-Identifier: MIT
--
-- Text as an attacker would choose it: hostile.pool(random, size) makes bytes of which any slice is trouble for a
-- serialiser (slicing cuts sequences in the middle, too).
local M = {}

M.atoms = {
  "a", "example", "0", " ", "/", '"', "\\", '\\"', "\\u0000", "\n", "\r", "\t", "\0", "\27[31m", "\1", "\31", "\127",
  "\194\128", "\194\155", "\194\159", "\194\160", "\226\128\168", "\226\128\169", "\226\128\170", "\239\187\191",
  "\239\191\189", "\239\191\191", "\195\169", "\226\130\172", "\240\159\152\128", "\244\143\191\191",
  "\128", "\191", "\192\128", "\193\191", "\194", "\224\128\128", "\224\159\191", "\224\160", "\226\128",
  "\237\160\128",
  "\237\176\128", "\237\159\191", "\240\128\128\128", "\240\143\191\191", "\240\159\152", "\240\159", "\240",
  "\244\144\128\128", "\245\128\128\128", "\248\136\128\128\128", "\252\132\128\128\128\128", "\254", "\255",
  '"}\n{"', '","decision":"allow', "{{", "]]", "%s%n",
}

function M.pool(random, size)
  local parts, len = {}, 0
  while len < size do
    local atom = random:pick(M.atoms)
    parts[#parts + 1] = atom
    len = len + #atom
  end
  return table.concat(parts):sub(1, size)
end

return M
