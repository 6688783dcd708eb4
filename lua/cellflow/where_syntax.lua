-- SPDX-License-Identifier: MIT
-- An expression of `--where`, read into Lua text in which nothing that is absent is an error: a comparison with nil is
-- false, arithmetic on it is nil. Says at which column what is wrong. What the names mean is where.lua's to say.
local M = {}

local TEXT_MAX, DEPTH_MAX = 8192, 60

-- Left and right binding power; comparisons and arithmetic become calls, the rest stays as it is.
local BINARY = {
  ["or"] = { 1, 2 }, ["and"] = { 3, 4 },
  ["<"] = { 5, 6, "lt" }, [">"] = { 5, 6, "lt", true }, ["<="] = { 5, 6, "le" }, [">="] = { 5, 6, "le", true },
  ["=="] = { 5, 6 }, ["~="] = { 5, 6 }, [".."] = { 8, 7, "cat" },
  ["+"] = { 9, 10, "add" }, ["-"] = { 9, 10, "sub" }, ["*"] = { 11, 12, "mul" }, ["/"] = { 11, 12, "div" },
  ["%"] = { 11, 12, "mod" }, ["^"] = { 16, 15, "pow" },
}
local UNARY_POWER = 13
local UNARY = { ["not"] = "(not %s)", ["-"] = "neg(%s)", ["#"] = "len(%s)" }
local LITERALS = { ["true"] = true, ["false"] = true, ["nil"] = true }
local WORDS = { ["and"] = true, ["or"] = true, ["not"] = true }

-- Longest first; with what Lua has in place of those that it does not have.
local OPERATORS = { "...", "..", "==", "~=", "<=", ">=", "!=", "&&", "||", "<", ">", "=", "+", "-", "*", "/", "%", "^",
  "#", "(", ")", ",", ":", ".", "!" }
local MEANT = { ["="] = "==", ["!="] = "~=", ["&&"] = "and", ["||"] = "or", ["!"] = "not" }

local function wrong(column, text, ...)
  error({ usage = ("column %d: %s"):format(column, text:format(...)) }, 0)
end

M.wrong = wrong

-- A text in quotes, as Lua reads it: its end and its bytes.
local function quoted(text, at)
  local quote, stop = text:sub(at, at), at + 1
  while text:sub(stop, stop) ~= quote do
    if stop > #text or text:sub(stop, stop) == "\n" then wrong(at, "text without its closing %s", quote) end
    stop = stop + (text:sub(stop, stop) == "\\" and 2 or 1)
  end
  local chunk = load("return " .. text:sub(at, stop), "=text", "t", {})
  if not chunk then wrong(at, "text with an escape that Lua does not know: %s", text:sub(at, stop)) end
  return stop, chunk()
end

local function operator_at(text, at)
  for _, operator in ipairs(OPERATORS) do
    if text:sub(at, at + #operator - 1) == operator then
      if MEANT[operator] then wrong(at, '"%s" is no operator here; write %s', operator, MEANT[operator]) end
      return { kind = operator, at = at }, at + #operator
    end
  end
  local what = text:match("^[%z\1-\127\194-\244][\128-\191]*", at) or text:sub(at, at)
  return wrong(at, '"%s" cannot stand here', (what:gsub("%c", "?")))
end

local function token_at(text, at)
  local name = text:match("^[%a_][%w_]*", at)
  if name then return { kind = WORDS[name] and name or "name", text = name, at = at }, at + #name end
  local digits = text:match("^%.?%d[%w_.]*", at)
  if digits then
    if digits:find("[eE]$") then digits = digits .. (text:match("^[+-]%d+", at + #digits) or "") end
    if not tonumber(digits) then wrong(at, '"%s" is no number; text is written in quotes: "%s"', digits, digits) end
    return { kind = "number", text = digits, at = at }, at + #digits
  end
  if text:find("^[\"']", at) then
    local stop, value = quoted(text, at)
    return { kind = "text", text = value, at = at }, stop + 1
  end
  return operator_at(text, at)
end

local function tokens_of(text)
  local list, at = {}, 1
  while true do
    at = text:find("%S", at)
    if not at then break end
    list[#list + 1], at = token_at(text, at)
  end
  list[#list + 1] = { kind = "end", at = #text + 1 }
  return list
end

local function peek(self) return self.tokens[self.index] end

local function take(self, kind)
  local token = peek(self)
  if kind and token.kind ~= kind then
    if token.kind == "end" then wrong(token.at, 'the expression ends where "%s" is expected', kind) end
    wrong(token.at, '"%s" is expected here, not "%s"', kind, token.text or token.kind)
  end
  self.index = self.index + 1
  return token
end

local expression

-- What stands between the parentheses of a call, as a list of texts; a single literal may do without them.
local function arguments(self)
  if peek(self).kind == "text" then return { ("%q"):format(take(self).text) } end
  take(self, "(")
  local list = {}
  if peek(self).kind ~= ")" then
    repeat
      list[#list + 1] = expression(self, 0)
    until peek(self).kind ~= "," or not take(self)
  end
  take(self, ")")
  return list
end

local function is_call(self)
  local kind = peek(self).kind
  return kind == "(" or kind == "text"
end

-- net("10.0.0.0/8"):has(ADDRESS), or net with several networks; its texts must be there before the first event is.
local function net_call(self, token)
  local texts = {}
  local paren = peek(self).kind == "(" and take(self)
  repeat
    if peek(self).kind ~= "text" then wrong(peek(self).at, 'net takes networks in quotes: net("10.0.0.0/8")') end
    texts[#texts + 1] = take(self).text
  until not paren or peek(self).kind ~= "," or not take(self)
  if paren then take(self, ")") end
  if peek(self).kind ~= ":" then wrong(token.at, 'a net is asked like this: net("10.0.0.0/8"):has(dst_addr)') end
  take(self, ":")
  local method = take(self, "name")
  if method.text ~= "has" then wrong(method.at, 'a net has no "%s", only has(ADDRESS)', method.text) end
  local list = arguments(self)
  if #list ~= 1 then wrong(method.at, "has takes one address") end
  return ("%s:has(%s)"):format(self.names.net(texts, token.at), list[1])
end

local function library_call(self, token)
  if peek(self).kind ~= "." then wrong(token.at, "%s is no value; name one of its functions", token.text) end
  take(self, ".")
  local member = take(self, "name")
  local fn = self.names.member(token.text, member.text, member.at)
  if not is_call(self) then wrong(member.at, "%s.%s is a function: call it", token.text, member.text) end
  return ("%s(%s)"):format(fn, table.concat(arguments(self), ", "))
end

local function name_value(self, token)
  local kind, text = self.names.resolve(token.text, token.at)
  if kind == "net" then return net_call(self, token) end
  if kind == "library" then return library_call(self, token) end
  if kind == "function" then
    if not is_call(self) then wrong(token.at, "%s is a function: call it", token.text) end
    return ("%s(%s)"):format(text, table.concat(arguments(self), ", "))
  end
  if is_call(self) or peek(self).kind == "." then
    wrong(peek(self).at, '"%s" is a value: it cannot be called and has no members', token.text)
  end
  return text
end

local function primary(self)
  local token = take(self)
  if token.kind == "number" then return token.text end
  if token.kind == "text" then return ("%q"):format(token.text) end
  if token.kind == "(" then
    local inner = expression(self, 0)
    take(self, ")")
    return "(" .. inner .. ")"
  end
  if token.kind == "name" then
    return LITERALS[token.text] and token.text or name_value(self, token)
  end
  if token.kind == "end" then wrong(token.at, "the expression ends where a value is expected") end
  return wrong(token.at, 'a value is expected here, not "%s"', token.text or token.kind)
end

-- dst_addr:find("^10%."): the methods that texts have.
local function suffixed(self)
  local text = primary(self)
  while peek(self).kind == ":" do
    take(self)
    local method = take(self, "name")
    local fn = self.names.member("string", method.text, method.at)
    local list = arguments(self)
    table.insert(list, 1, text)
    text = ("%s(%s)"):format(fn, table.concat(list, ", "))
  end
  return text
end

local function binary(rule, kind, left, right)
  -- Without parentheses: hundreds of alternatives would be nested deeper than Lua's parser goes.
  if kind == "or" or kind == "and" then return ("%s %s %s"):format(left, kind, right) end
  if not rule[3] then return ("(%s %s %s)"):format(left, kind, right) end
  if rule[4] then left, right = right, left end
  return ("%s(%s, %s)"):format(rule[3], left, right)
end

function expression(self, power)
  self.depth = self.depth + 1
  if self.depth > DEPTH_MAX then wrong(peek(self).at, "nested deeper than %d", DEPTH_MAX) end
  local left
  local unary = UNARY[peek(self).kind]
  if unary then
    take(self)
    left = unary:format(expression(self, UNARY_POWER))
  else
    left = suffixed(self)
  end
  local rule = BINARY[peek(self).kind]
  while rule and rule[1] > power do
    left = binary(rule, take(self).kind, left, expression(self, rule[2]))
    rule = BINARY[peek(self).kind]
  end
  self.depth = self.depth - 1
  return left
end

--- Lua text of one expression. It calls lt, le, add, sub, mul, div, mod, pow, cat, neg and len, and whatever `names`
--- gives: resolve(name, column) -> "value", text | "function", text | "library" | "net"; member(library, name, column)
--- -> text of a function; net(texts, column) -> text of a net. Raises { usage = "column N: what" }; so may they.
function M.lua(text, names)
  if #text > TEXT_MAX then error({ usage = ("longer than %d bytes"):format(TEXT_MAX) }, 0) end
  local self = { tokens = tokens_of(text), index = 1, depth = 0, names = names }
  if #self.tokens == 1 then wrong(1, 'there is no expression (want one like decision == "deny")') end
  local made = expression(self, 0)
  local rest = peek(self)
  if rest.kind ~= "end" then
    wrong(rest.at, 'the expression is over before "%s"; join conditions with and, or', rest.text or rest.kind)
  end
  return made
end

return M
