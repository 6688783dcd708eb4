-- SPDX-License-Identifier: MIT
-- What follows when a hook ran into the memory ceiling (core/memory.h): collect what it left, and get the little that
-- it takes to write down what happened. LuaJIT does not collect by itself before it gives up.
local collect = collectgarbage

local M = {}

M.NO_MEMORY = "not enough memory" -- LuaJIT's words; its error handlers are not called for this one

--- Returns a function to call first with what a failed pcall or xpcall returned; true when it was about memory.
function M.new(core)
  local lift = core.cf_memory_lift
  local useless = false

  return function(err)
    if err ~= M.NO_MEMORY then return false end
    lift(1) -- collecting may itself take memory
    if not useless then
      local before = collect("count")
      collect()
      -- The policy holds on to it. Then this worker goes after the batch, and until then every look would cost seconds.
      useless = collect("count") > before / 2
    end
    lift(0)
    return true
  end
end

return M
