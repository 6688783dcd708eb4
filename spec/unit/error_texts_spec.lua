-- SPDX-License-Identifier: MIT
-- Every sentence that the Lua runtime can say of a mistake is expected by some spec: the text literals of lua/cellflow
-- are listed, and the longest fixed piece of each must stand in a literal of a spec (not in a title). What two
-- sentences share tells neither: for those a longer example is given here. A sentence that is new and that nobody
-- expects fails here, by file and line.
local lua_texts = require("lua_texts")

-- No sentences about mistakes: what `explain` shows, and literals that begin like C and generated code.
local NOT_OURS = { ["lua/cellflow/explain_text.lua"] = true }
local NO_SENTENCE = {
  "return name", "byte char find format", "concat foreach foreachi", "abs acos asin", "arshift band bnot", "^must be",
  "value >= %.17g", "the event is decided", "union {", "flow event", "local get = ...", " and matches[%d](raw)",
  " or one of %d more", "(time(raw) or before)<before", "(answer.", "byte find len", "abs ceil", "band bnot",
}
local BEFORE_CODE = { "typeof%($", "ffi%.new%($", "ffi%.cast%($", "sizeof%($", "load%($", "opcodes_of%($",
  "metatype%($", "ffi%.cdef%(?$" }

-- By the piece that several sentences have: the whole expectation, which must be found, for each file that says it.
local EXAMPLES = {
  [" must return "] = { answer = "dedup must return a key (text or number), false or nil, got true" },
  ["a flow event"] = { options = 'verdict must return "allow", "deny" or nil, got a flow event' },
  ["must be a whole number from "] = {
    event_words = 'event: dst_port must be a whole number from 0 to 65535, got "65536"',
    options = "limits: slow_ms must be a whole number from 1 to 60000, got 0" },
  ["must be letters of "] = { event_words = 'event: tcp_flags must be letters of FSRPAUEC, got 3',
    match = "must be letters of FSRPAUEC that are all to be set" },
  [", only letters of "] = { event_words = 'event: tcp_flags "SX": there is no flag "X"',
    match = 'deny "x": tcp_flags "SX": there is no flag "X"' },
  [": there is no flag "] = { event_words = 'event: tcp_flags "SX": there is no flag "X"',
    match = 'deny "x": tcp_flags "SX": there is no flag "X"' },
  ["must be true or false, got "] = { event_words = 'event: fragment must be true or false, got "maybe"',
    limits = "limits: interpreted must be true or false, got 1", match = 'deny "x": fragment must be true or false' },
  [" million instructions"] = {
    limit = "still running after 100 million instructions; is there a loop without an end?" },
  ["still running after "] = { limit = "still running after 3 s; is there a loop without an end?" },
  [" is one too many; there can be "] = { handlers = 'on "opened" is one too many; there can be 64 handlers',
    words = 'output "json" is one too many; there can be 8 outputs' },
  ['" is missing'] = { json_decode = '"," or "}" is missing' },
  ["included at "] = { include = "a.lua is being read already (included at cellflow.lua:2)" },
  ['undefined name "'] = { lint = 'error: p.lua:2: undefined name "udnefined"',
    sandbox = 'cellflow.lua:1: undefined name "vedrict" (did you mean "verdict"?)' },
  ["must not be empty"] = { options = 'cell "web": hooks must not be empty' },
  [": the name "] = { options = "cell: the name must not be empty" },
  [" is never called: "] = { check = 'on "updated" is never called: its match asks for another kind',
    check_kinds = 'on "closed" is never called: ' },
  ["must be text, got "] = { event_words = "event: nft_rule must be text, got 3",
    options = 'cell "web": netns must be text, got 7' },
  ["has the same match"] = { rule_review = "has the same match" },
  [" never applies: "] = { rule_review = 'deny "a" never applies: no event has what it wants of ' },
  [" never applies"] = { rule_review = 'deny "b" never applies: deny "a" at cellflow.lua:1 matches every event' },
  [" is declared twice; the first is "] = { rules = 'deny "x" is declared twice; the first is allow "x"' },
  [" is declared twice; the first is at "] = { words = 'cell "web" is declared twice; the first is at cellflow.lua:1' },
  [' has no member "'] = { sandbox = 'string has no member "fromat" (did you mean "format"?)' },
  ['; text is written in quotes: "'] = { where = 'has no field "deny"; text is written in quotes: "deny"',
    where_syntax = '"10.0.0.1" is no number; text is written in quotes: "10.0.0.1"' },
  [" is a function: call it"] = { where_syntax = "math.abs is a function: call it" },
  ["nested deeper than "] = { where_syntax = "column 61: nested deeper than 60" },
  ["longer than "] = { where_syntax = "longer than 8192 bytes" },
  [" cannot be changed"] = { sandbox = "table cannot be changed" },
  [" and of "] = { holder = '"kept" of verdict at cellflow.lua:3 and of 2 more',
    match_review = "dst_port and of protocol" },
  [" cannot be "] = { record = "record.x cannot be 1LL" },
  [" has no "] = { testing = 'a replay has no "cuont" (did you mean "count"?)' },
  ["a record has no field "] = { testing_replayed = 'a record has no field "dst_prt" (did you mean "dst_port"?)',
    where = 'a record has no field "' },
  ["must be a function, got "] = { testing_replay = "replay: each must be a function, got 7" },
  ["() may only be used while the file is read"] = {
    vocabulary = "on() may only be used while the file is read",
    words = "cell() may only be used while the file is read" },
}

local function is_sentence(text, before)
  if not text:find("%a%a+ %a%a+") then return false end
  for _, code in ipairs(NO_SENTENCE) do
    if text:sub(1, #code) == code then return false end
  end
  for _, pattern in ipairs(BEFORE_CODE) do
    if before:find(pattern) then return false end
  end
  -- Generated code spans lines; a text never does.
  return not text:find("\n", 1, true)
end

local function longest_piece(text)
  local longest = ""
  for piece in (text:gsub("%%[%d%.%-]*%a", "\0") .. "\0"):gmatch("([^%z]*)%z") do
    piece = piece:gsub("%%%%", "%%")
    if #piece > #longest then longest = piece end
  end
  return longest
end

-- { { file =, name =, line =, text =, piece =, shared = boolean }, ... }
local function sentences(files)
  local list = {}
  for path, source in pairs(files) do
    if not NOT_OURS[path] then
      lua_texts.each(source, function(text, line, before)
        if not is_sentence(text, before) then return end
        list[#list + 1] = { file = path, name = path:match("([%w_]+)%.lua$"), line = line, text = text,
          piece = longest_piece(text), shared = false }
      end)
    end
  end
  for _, one in ipairs(list) do
    for _, other in ipairs(list) do
      if other ~= one and other.text:find(one.piece, 1, true) then one.shared = true end
    end
  end
  return list
end

-- All literals of specs besides titles and this file, without the "%" of patterns.
local function expectations()
  local all = {}
  for _, path in ipairs(lua_texts.files("spec/*/*_spec.lua")) do
    if path ~= "spec/unit/error_texts_spec.lua" then
      lua_texts.each(lua_texts.read(path), function(text, _, before)
        if before:find("it%(%s*$") or before:find("describe%(%s*$") then return end
        all[#all + 1] = text:gsub("%%(%p)", "%1")
      end)
    end
  end
  return table.concat(all, "\n")
end

local function runtime()
  local files = {}
  for _, path in ipairs(lua_texts.files("lua/cellflow/*.lua")) do files[path] = lua_texts.read(path) end
  return files
end

-- What no spec expects, "file:line: text".
local function unexpected(files, expected)
  local missing = {}
  for _, one in ipairs(sentences(files)) do
    local example = one.shared and (EXAMPLES[one.piece] or {})[one.name]
    if one.shared and not example then
      missing[#missing + 1] = ("%s:%d: another text has \"%s\" as well; give an example"):format(one.file, one.line,
        one.piece)
    elseif not expected:find(example or one.piece, 1, true) then
      missing[#missing + 1] = ("%s:%d: no spec expects \"%s\""):format(one.file, one.line, example or one.piece)
    end
  end
  table.sort(missing)
  return missing
end

describe("a text about a mistake", function()
  it("is expected by a spec, each of them", function()
    assert.same({}, unexpected(runtime(), expectations()))
  end)

  it("is found in every form in which the runtime says one", function()
    local lines = {}
    for _, one in ipairs(sentences(runtime())) do lines[one.file .. ":" .. one.line] = true end
    assert.is_true(next(lines) ~= nil)
    for path, source in pairs(runtime()) do
      local number = 0
      for line in source:gmatch("([^\n]*)\n") do
        number = number + 1
        local said = line:match("place%.raise%(%(?(['\"].*)") or line:match("return nil, %(?(['\"].*)")
        if said and said:find("%a%a+ %a%a+") then
          assert.is_true(lines[path .. ":" .. number] or false, path .. ":" .. number)
        end
      end
    end
  end)

  it("that is new is noticed, and so is one that is told twice", function()
    local files = { ["lua/cellflow/new.lua"] = 'place.raise(title .. ": is " ..\n  "no such thing as %d of these")' }
    assert.same({ 'lua/cellflow/new.lua:1: no spec expects ": is no such thing as "' }, unexpected(files, "x"))
    assert.same({}, unexpected(files, "cell: is no such thing as 3 of these"))
    files["lua/cellflow/other.lua"] = 'return nil, "x: is no such thing as a pear"'
    assert.same({ 'lua/cellflow/new.lua:1: another text has ": is no such thing as " as well; give an example' },
      unexpected(files, "x: is no such thing as a pear"))
  end)
end)
