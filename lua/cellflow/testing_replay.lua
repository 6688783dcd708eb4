-- SPDX-License-Identifier: MIT
-- A recording or capture through a policy under test, begun anew with it: what `cellflow replay` does with a policy
-- that is not the recorded one (core/replay_frames.c), event by event. What came of it is kept up to a bound, or handed
-- over record by record; what can be asked of it is testing_replayed.lua's. Raises texts without a place; whose line
-- they stand at is testing.lua's.
local ffi = require("ffi")
local options = require("cellflow.options")
local testing_policy = require("cellflow.testing_policy")
local testing_replayed = require("cellflow.testing_replayed")

local C = ffi.C
local M = {}

-- core/testing_recording.h
ffi.cdef([[
enum cf_testing_what {
  CF_TESTING_BEGIN = 1,
  CF_TESTING_PLAN = 2,
  CF_TESTING_CLOCK = 3,
  CF_TESTING_BATCH = 4,
  CF_TESTING_LOST = 5,
  CF_TESTING_MOMENT = 6,
  CF_TESTING_TIME = 7,
};
struct cf_testing_step {
  uint32_t what;
  uint32_t refused;
  uint64_t now_ns;
  uint64_t lost;
  int64_t offset_ns;
};
struct cf_testing_recording;
struct cf_testing_recording *cf_testing_recording_open(const char *const *paths, uint32_t count,
  const char *const *words);
void cf_testing_recording_close(struct cf_testing_recording *recording);
int cf_testing_recording_next(struct cf_testing_recording *recording, struct cf_testing_step *step,
  struct cf_batch *batch);
const char *const *cf_testing_recording_args(const struct cf_testing_recording *recording);
void cf_testing_recording_times(struct cf_testing_recording *recording, const struct cf_plan *plan);
void cf_testing_recording_plan(const struct cf_testing_recording *recording, const struct cf_plan_metadata *declared,
  struct cf_plan *plan);
int cf_testing_recording_is_whole(const struct cf_testing_recording *recording);
const char *cf_testing_recording_wrong(void);
]])

M.KEEP = 10000 -- records, lines, log lines, when nobody says how many
M.KEEP_MAX = 1e6
M.TICKS_MAX = 1e6 -- of the policy's timers between two frames

local FILES_MAX = 256

local function fail(text, ...) error({ wrong = text:format(...) }, 0) end

local function one_or_more(value)
  local list = type(value) == "table" and value or { value }
  for i = 1, math.max(#list, 1) do
    if type(list[i]) ~= "string" then
      return nil, "must be text or a list of texts, got " .. options.describe(list[i])
    end
  end
  return list
end

local function a_function(value)
  if type(value) == "function" then return value end
  return nil, "must be a function, got " .. options.describe(value)
end

local GIVEN = { keep = options.integer(0, M.KEEP_MAX), each = a_function, cell_net = one_or_more,
  cell_mac = one_or_more, cell_name = one_or_more, events = one_or_more }
local WORDS = { { "net", "cell_net" }, { "mac", "cell_mac" }, { "name", "cell_name" }, { "events", "events" } }

-- A const char *[] that ends in NULL; the texts must be kept elsewhere.
local function c_texts(list)
  local array = ffi.new("const char *[?]", #list + 1)
  for i, text in ipairs(list) do array[i - 1] = text end
  return array
end

local function open(lib, files, given)
  local words = {}
  for _, word in ipairs(WORDS) do
    for _, value in ipairs(given[word[2]] or {}) do
      words[#words + 1], words[#words + 2] = word[1], value
    end
  end
  local paths, c_words = c_texts(files), c_texts(words)
  local recording = lib.cf_testing_recording_open(paths, #files, c_words)
  if recording == nil then fail("replay: %s", ffi.string(lib.cf_testing_recording_wrong())) end
  return ffi.gc(recording, lib.cf_testing_recording_close), paths
end

local function recorded_args(lib, recording)
  local args, list = {}, lib.cf_testing_recording_args(recording)
  local i = 0
  while list[i] ~= nil do
    args[ffi.string(list[i])], i = ffi.string(list[i + 1]), i + 2
  end
  return args
end

local function new_summary()
  return { events = 0, records = 0, allow = 0, deny = 0, deduplicated = 0, suppressed = 0, failed = 0, refused = 0,
    lost = 0, emitted = 0, script_errors = 0, whole = false }
end

local function keep(self, list, value)
  if #list < self.keep then list[#list + 1] = value end
end

-- How many came to the list since last time; it keeps no more than it may.
local function trim(self, list, name)
  local before = self.before[name] or 0
  local new = #list - before
  for i = #list, self.keep_said + 1, -1 do list[i] = nil end
  self.before[name] = #list
  return new
end

-- What the policy wrote since last time.
local function gather(self)
  local seen, summary = self.policy.seen, self.summary
  for i = 1, #seen.written do keep(self, self.kept_lines, seen.written[i]) end
  self.line_count = self.line_count + #seen.written
  summary.emitted = summary.emitted + trim(self, seen.emitted, "emitted")
  self.log_count = self.log_count + trim(self, seen.logs, "logs")
  seen.written = {}
  summary.script_errors = seen.script_errors
end

local function tell(self, kind, now_ns, lost, total)
  if self.plan_changed then
    self.lib.cf_testing_recording_plan(self.recording, self.declared, self.policy.plan)
    self.policy:rebind(self.offset_ns)
    self.plan_changed = false
  end
  if not kind then return end
  local due = self.policy:tell(kind, tonumber(now_ns) / 1e9, lost, total)
  self.timer_ns = ffi.cast("uint64_t", due * 1e9)
  gather(self)
end

local function start_if_due(self)
  if self.is_started then return end
  self.is_started = true
  tell(self, "start", self.begin_ns)
end

-- The runtime's times are seconds, in which one ns may be no step.
local function tick(self, now_ns)
  local ticks, step = 0, 0ULL
  while self.timer_ns ~= 0 and self.timer_ns <= now_ns do
    local due = self.timer_ns
    ticks = ticks + 1
    tell(self, "timer", ticks > M.TICKS_MAX and now_ns or due + step)
    step = self.timer_ns > due and 0ULL or 2 * step + 1
    if ticks > M.TICKS_MAX then return end
  end
end

local function pass_time(self, now_ns)
  if now_ns == 0 then return end
  if now_ns > self.now_ns then self.now_ns = now_ns end
  if self.is_started then tick(self, now_ns) end
end

local function ended(self, seen)
  local summary = self.summary
  summary.events = summary.events + 1
  if seen.ending then
    summary[seen.ending] = summary[seen.ending] + 1
    return
  end
  local made = testing_policy.decoded(seen.record)
  summary.records, summary[made.decision] = summary.records + 1, summary[made.decision] + 1
  keep(self, self.kept, seen.line:find("^%s*{") and seen.line or seen.record)
  if self.each then self.each(testing_policy.decoded(seen.line) or made, seen.line) end
end

local function take_batch(self)
  start_if_due(self)
  tell(self)
  local event, size = self.policy.seen.batch.events, ffi.sizeof("struct cf_event")
  for i = 0, self.batch.count - 1 do
    ffi.copy(event, self.batch.events + i, size)
    local seen = self.policy:take()
    gather(self)
    ended(self, seen)
  end
  self.summary.refused = self.summary.refused + self.step.refused
end

local TAKE = {} -- by enum cf_testing_what

TAKE[C.CF_TESTING_BEGIN] = function(self)
  local policy = testing_policy.read(self.lib, self.path, self.args or recorded_args(self.lib, self.recording))
  self.policy, self.begin_ns, self.plan_changed = policy, self.step.now_ns, true
  policy.seen.written = {}
  self.declared = ffi.new("struct cf_plan_metadata", policy.plan.metadata)
  self.lib.cf_testing_recording_times(self.recording, policy.plan)
end

TAKE[C.CF_TESTING_PLAN] = function(self) self.plan_changed = true end

TAKE[C.CF_TESTING_CLOCK] = function(self)
  self.offset_ns, self.plan_changed = self.step.offset_ns, true
end

TAKE[C.CF_TESTING_BATCH] = take_batch

TAKE[C.CF_TESTING_LOST] = function(self)
  local lost = tonumber(self.step.lost)
  if lost == 0 then return end
  self.summary.lost = self.summary.lost + lost
  if self.policy.plan.limits.wants_lost == 0 then return end
  start_if_due(self)
  tell(self, "lost", self.step.now_ns, lost, self.summary.lost)
end

TAKE[C.CF_TESTING_MOMENT] = start_if_due

local function take_all(self)
  local rc
  repeat
    rc = self.lib.cf_testing_recording_next(self.recording, self.step, self.batch)
    if rc > 0 then
      pass_time(self, self.step.now_ns)
      local take = TAKE[tonumber(self.step.what)]
      if take then take(self) end
    end
  until rc <= 0
  if rc < 0 then
    fail("replay: %s, after %d events", ffi.string(self.lib.cf_testing_recording_wrong()), self.summary.events)
  end
  if self.is_started then tell(self, "stop", self.now_ns) end
end

--- The files (a path, or a list of a recording's parts) through the policy that `policy` (of testing_policy.lua) was
--- loaded from. `given`: keep (how many records and lines, 10000), each (a function to be given each record and its
--- line), and for captures cell_net, cell_mac, cell_name, events. Returns the replay: summary and the methods below.
function M.run(lib, policy, files, given)
  local list, wrong = one_or_more(files)
  if not list then fail("replay: the file %s", wrong) end
  if #list > FILES_MAX then fail("replay: %d files, and %d is the most", #list, FILES_MAX) end
  given = options.check("replay", given or {}, GIVEN)
  local self = testing_replayed.new({ lib = lib, path = policy.path, args = policy.args, each = given.each,
    keep = given.keep or given.each and 0 or M.KEEP, keep_said = given.keep or M.KEEP, before = {},
    step = ffi.new("struct cf_testing_step"), batch = ffi.new("struct cf_batch"), summary = new_summary(),
    is_started = false, plan_changed = false, now_ns = 0ULL, timer_ns = 0ULL, offset_ns = nil })
  self.recording, self.paths = open(lib, list, given)
  local ok, err = pcall(take_all, self)
  self.summary.whole = lib.cf_testing_recording_is_whole(self.recording) ~= 0
  lib.cf_testing_recording_close(ffi.gc(self.recording, nil))
  self.recording, self.paths = false, false -- until here core reads what paths points to
  if not ok then error(err, 0) end
  return self
end

return M
