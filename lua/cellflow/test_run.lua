-- SPDX-License-Identifier: MIT
-- `cellflow test` inside its Lua state (core/cmd_test.c): finds the specs, runs busted over them in this process, and
-- tells the coverage. Returns a function of the words of the command line that returns the exit code.
local coverage = require("cellflow.coverage")

local FAILED, USAGE = 1, 2
local NAME = "cellflow-test" -- what busted calls itself

local function say(format, ...) io.stderr:write("cellflow: ", format:format(...), "\n") end
local function say_error(format, ...) say("error: test: " .. format, ...) end

-- The words as cmd_test.c puts them: update, coverage, percent, seed, specs, "--", what is busted's.
local function read_words(texts)
  local given = { update = texts[1] == "update", coverage = texts[2] == "coverage", least = tonumber(texts[3]),
    seed = tonumber(texts[4]), specs = {}, options = {} }
  local to = given.specs
  for i = 5, #texts do
    if to == given.specs and texts[i] == "--" then
      to = given.options
    else
      to[#to + 1] = texts[i]
    end
  end
  return given
end

local function is_there(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

-- A policy stands for its spec.
local function spec_of(word)
  local directory, name = word:match("^(.-)([^/]+)%.lua$")
  if not name or name:find("_spec$") then
    if is_there(word) then return word end
    return nil, ("no such file: %s"):format(word)
  end
  for _, path in ipairs({ directory .. "spec/" .. name .. "_spec.lua", directory .. name .. "_spec.lua" }) do
    if is_there(path) then return path end
  end
  return nil, ("there is no %s_spec.lua beside %s, nor in %sspec"):format(name, word, directory)
end

local function find_specs(words)
  if #words == 0 then
    if is_there("spec") then return { "spec" } end
    return nil, "there is no directory spec here (name a spec, or let `cellflow init` make one)"
  end
  local specs = {}
  for i, word in ipairs(words) do
    local wrong
    specs[i], wrong = spec_of(word)
    if wrong then return nil, wrong end
  end
  return specs
end

-- busted, as its own command line would start it. It ends by os.exit or by an error without a value; neither may end
-- what is to be done behind it.
local function run_busted(busted, given, specs)
  local words = { [0] = NAME, "--ignore-lua", ("--seed=%d"):format(given.seed) }
  for _, list in ipairs({ given.options, specs }) do
    for _, word in ipairs(list) do words[#words + 1] = word end
  end
  _G.arg = words -- luacheck: ignore 121 122
  local ENDED, code = {}, 0
  local exit = os.exit
  os.exit = function(how) -- luacheck: ignore 122
    code = (how == nil or how == true or how == 0) and 0 or FAILED
    error(ENDED)
  end
  -- It takes its name from the chunk that calls it.
  local start = assert(load("local run = ... run({ standalone = false })", "@" .. NAME))
  local ok, err = pcall(start, busted)
  os.exit = exit -- luacheck: ignore 122
  if ok or err == ENDED then return code end
  if err ~= nil then say_error("busted: %s", tostring(err)) end
  -- It gets its executor only when it has understood its command line.
  return package.loaded["busted.execute"] and FAILED or USAGE
end

local function find_busted()
  local ok, busted = pcall(require, "busted.runner")
  if ok then return busted end
  if not tostring(busted):find("module '[^']*' ") then error(busted, 0) end
  say_error("specs are run by busted, which is not here or not whole (no module %s): apt-get install lua-busted",
    tostring(busted):match("module '([^']*)' "))
end

local function tell_coverage(given, code)
  local text, total = require("cellflow.coverage_report").text(coverage.files())
  io.stdout:flush()
  io.stderr:write(text)
  if total < given.least then
    say_error("%.1f %% of the lines ran, and --coverage-min asks for %d %%", total, given.least)
    return FAILED
  end
  return code
end

return function(texts)
  local given = read_words(texts)
  local specs, wrong = find_specs(given.specs)
  if not specs then
    say_error("%s", wrong)
    return USAGE
  end
  jit.off() -- only what is interpreted can be ended, and its lines be seen
  math.randomseed(given.seed)
  if given.coverage then coverage.open() end
  -- Before busted: it forgets modules that a spec loads first, and these can be loaded once.
  local testing = require("cellflow.testing")
  testing.settings.update, testing.settings.seed = given.update, given.seed
  local busted = find_busted()
  if not busted then return FAILED end
  say("test: seed %d", given.seed)
  local code = run_busted(busted, given, specs)
  return given.coverage and tell_coverage(given, code) or code
end
