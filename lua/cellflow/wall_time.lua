-- SPDX-License-Identifier: MIT
-- Times of day as people and records write them, exact to the nanosecond, so that a record's times come out as they
-- went in. Formatting is core's (cf_time_text).
local ffi = require("ffi")
local options = require("cellflow.options")

local M = {}

local PATTERN = "^(%d%d%d%d)%-(%d%d)%-(%d%d)[Tt](%d%d):(%d%d):(%d%d)(%.?%d*)[Zz]$"
local DAYS = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

local SECONDS_MAX = 2 ^ 33

local function nanoseconds(seconds, fraction)
  return ffi.cast("uint64_t", seconds) * 1000000000ULL + tonumber((fraction .. "000000000"):sub(1, 9))
end

-- Days since 1970 of a date, or nil when there is none such.
local function days_of(year, month, day)
  local is_leap = year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
  if year < 1970 or month < 1 or month > 12 or day < 1 then return nil end
  if day > DAYS[month] + ((month == 2 and is_leap) and 1 or 0) then return nil end
  local days = day - 1 + ((month > 2 and is_leap) and 1 or 0)
  for i = 1, month - 1 do days = days + DAYS[i] end
  local before = year - 1
  return days + (year - 1970) * 365 + math.floor(before / 4) - math.floor(before / 100) + math.floor(before / 400) - 477
end

-- RFC 3339 in UTC -> nanoseconds since 1970, or nil.
local function of_text(text)
  local year, month, day, hour, minute, second, fraction = text:match(PATTERN)
  local days = year and days_of(tonumber(year), tonumber(month), tonumber(day))
  if not days or tonumber(hour) > 23 or tonumber(minute) > 59 or tonumber(second) > 59 or fraction == "." then
    return nil
  end
  local seconds = days * 86400 + tonumber(hour) * 3600 + tonumber(minute) * 60 + tonumber(second)
  return nanoseconds(seconds, fraction:sub(2))
end

--- Nanoseconds since 1970 of RFC 3339 text in UTC or of seconds since 1970; or nil and what is wrong. They are event
--- times where the boot clock's offset is 0, as in `explain`.
function M.parse(value)
  if type(value) == "number" and value >= 0 and value < SECONDS_MAX then
    local whole = math.floor(value)
    return ffi.cast("uint64_t", whole) * 1000000000ULL + math.floor((value - whole) * 1e9 + 0.5)
  elseif type(value) == "string" then
    local whole, fraction = value:match("^(%d+)%.?(%d*)$")
    local ns = not whole and of_text(value)
    if whole and tonumber(whole) < SECONDS_MAX then ns = nanoseconds(tonumber(whole), fraction) end
    if ns then return ns end
  end
  return nil, ('must be a time like "2026-01-31T12:00:00Z" or seconds since 1970, got %s'):format(
    options.describe(value))
end

return M
