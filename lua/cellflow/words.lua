-- SPDX-License-Identifier: MIT
-- The declaring words of a policy: cell, metadata, output, and those of rules.lua. They check what they are given and
-- write it into the plan, which is plain C data; nothing is opened or started here. Every error names the word, the
-- option and what is right.
local ffi = require("ffi")
local options = require("cellflow.options")
local place = require("cellflow.place")
local rules = require("cellflow.rules")
local suggest = require("cellflow.suggest")
local watching = require("cellflow.watching")

local C = ffi.C
local M = {}

local HOOKS = { egress = C.CF_PLAN_EGRESS, ingress = C.CF_PLAN_INGRESS }
local FORMATS = { json = C.CF_FORMAT_JSON, compact = C.CF_FORMAT_COMPACT, table = C.CF_FORMAT_TABLE,
  csv = C.CF_FORMAT_CSV }
local OUTPUTS = { "json", "compact", "table", "csv" }
local UNIX_PATH_MAX = 107 -- sun_path without its NUL

local CELL = {
  netns = options.text(C.CF_PATH_LEN), pid = options.integer(1, 2 ^ 22), interface = options.text(C.CF_IFNAME_LEN),
  hooks = options.flags(HOOKS), sources = watching.sources, nflog_group = watching.nflog_group,
  events = watching.events, attach = watching.stand, tc = watching.tc, bpf_object = options.text(C.CF_PATH_LEN),
  run_id = options.text(C.CF_TEXT_LEN),
}
local OUTPUT = { path = options.text(C.CF_PATH_LEN) }
local METADATA = {}
for _, name in ipairs({ "run_id", "policy_digest", "keyset_id", "issuer_kid", "correlation_id" }) do
  METADATA[name] = options.text(C.CF_TEXT_LEN)
end

local function here() return place.here() or "?" end

local function check_interface(title, name)
  if name:find("[%s/:%c]") or name == "." or name == ".." then
    place.raise(('%s: interface "%s" is not a name an interface can have'):format(title, name))
  end
end

local function check_cell(title, given)
  if given.netns and given.pid then
    place.raise(title .. ": netns and pid both say where the cell is; give one of them")
  elseif not given.netns and not given.pid then
    place.raise(title .. ': one of netns ("/run/netns/NAME", or NAME) and pid must say where the cell is')
  end
  if given.interface then check_interface(title, given.interface) end
end

-- A bare name is what "ip netns add" made.
local function netns_path(title, netns)
  if not netns then return "" end
  local path = netns:find("/", 1, true) and netns or "/run/netns/" .. netns
  if #path >= C.CF_PATH_LEN then place.raise(title .. ": netns is too long a name") end
  return path
end

local function declare_cell(self, name, given)
  local title = ('cell "%s"'):format(name)
  given = options.check(title, given, CELL)
  check_cell(title, given)
  local earlier = self.cells[name]
  if earlier then
    place.raise(("%s is declared twice; the first is at %s"):format(title, earlier))
  end
  local netns = netns_path(title, given.netns)
  local cell = self.core.cf_plan_add_cell(self.plan)
  if cell == nil then
    place.raise(("%s is one too many; a plan holds %d cells"):format(title, C.CF_CELLS_MAX))
  end
  self.cells[name] = here()
  cell.name, cell.place, cell.interface, cell.netns = name, here(), given.interface or "", netns
  cell.pid, cell.hooks, cell.attach = given.pid or 0, given.hooks or C.CF_PLAN_EGRESS, given.tc or C.CF_ATTACH_AUTO
  cell.sources, cell.stand = given.sources or C.CF_SOURCES_AUTO, given.attach or C.CF_STAND_INSIDE
  cell.nflog_group, cell.events = given.nflog_group or C.CF_NFLOG_GROUP_DEFAULT, given.events or C.CF_EVENTS_DEFAULT
  cell.bpf_object, cell.run_id = given.bpf_object or "", given.run_id or ""
end

-- "-", "unix:/path" or a file's path -> kind, path.
local function output_target(title, path)
  if path == "-" then return C.CF_OUTPUT_STDOUT, "" end
  local socket = path:match("^unix:(.*)$")
  if not socket then return C.CF_OUTPUT_FILE, path end
  if socket:sub(1, 1) ~= "/" or #socket > UNIX_PATH_MAX then
    place.raise(('%s: path "%s": after "unix:" comes an absolute path of at most %d bytes'):format(title, path,
      UNIX_PATH_MAX))
  end
  return C.CF_OUTPUT_UNIX, socket
end

local function add_output(self, title, path, where, format)
  local kind, target = output_target(title, path)
  local earlier = self.outputs[path]
  if earlier then
    place.raise(('%s: path "%s" is declared twice; the first is at %s'):format(title, path, earlier))
  end
  local output = self.core.cf_plan_add_output(self.plan)
  if output == nil then
    place.raise(("%s is one too many; there can be %d outputs"):format(title, C.CF_OUTPUTS_MAX))
  end
  self.outputs[path] = where
  output.kind, output.path, output.place, output.format = kind, target, where, format
end

local function declare_output(self, format, given)
  local title = ('output "%s"'):format(format)
  if not FORMATS[format] then
    local hint = suggest.hint(format, OUTPUTS)
    place.raise(('%s: there is no such output%s'):format(title, hint ~= "" and hint or
      " (there are: " .. table.concat(OUTPUTS, ", ") .. ")"))
  end
  add_output(self, title, options.check(title, given, OUTPUT).path or "-", here(), FORMATS[format])
end

local function declare_metadata(self, given)
  given = options.check("metadata", given, METADATA)
  if self.metadata then
    place.raise("metadata is declared twice; the first is at " .. self.metadata)
  end
  self.metadata = here()
  for name, value in pairs(given) do self.plan.metadata[name] = value end
end

local function guard(self, word)
  if self.closed then
    place.raise(word .. "() may only be used while the file is read")
  end
end

-- word "name" { options }: two calls; what the first began and no second ended is found by finish().
local function named_word(self, word, declare, example)
  return function(name)
    guard(self, word)
    options.check_name(word, name, C.CF_NAME_LEN, example)
    local begun = { text = ('%s "%s"'):format(word, name), place = here() }
    self.begun[begun] = true
    return function(given)
      guard(self, word)
      self.begun[begun] = nil
      declare(self, name, given)
    end
  end
end

local function finish(self)
  local open = next(self.begun)
  if open then
    error(("%s: %s has no { options } after it"):format(open.place, open.text), 0)
  end
  if self.plan.output_count == 0 then
    add_output(self, "output", "-", "", C.CF_FORMAT_JSON)
  end
  self.closed = true
end

-- A rule is no part of the plan: it is declared like one.
local function rule_word(self, word, rule_words, example)
  return named_word(self, word, function(_, name, given) rule_words[word](name, given) end, example)
end

--- The words that fill `plan` (a struct cf_plan): returns { cell=, metadata=, output=, allow=, deny=, default= }, a
--- function to call when the file was read, which completes the plan and ends the time for declaring, and the rules
--- as rules.lua declares them.
function M.new(core, plan)
  local self = { core = core, plan = plan, cells = {}, outputs = {}, begun = {} }
  local rule_words = rules.new(core)
  return {
    cell = named_word(self, "cell", declare_cell, 'cell "web" { netns = "web", interface = "eth0" }'),
    output = named_word(self, "output", declare_output, 'output "json" { path = "-" }'),
    metadata = function(given)
      guard(self, "metadata")
      declare_metadata(self, given)
    end,
    allow = rule_word(self, "allow", rule_words, 'allow "dns" { protocol = "udp", dst_port = 53 }'),
    deny = rule_word(self, "deny", rule_words, 'deny "no-ssh" { protocol = "tcp", dst_port = 22 }'),
    default = function(given)
      guard(self, "default")
      rule_words.default(given)
    end,
  }, function() finish(self) end, rule_words.declared
end

return M
