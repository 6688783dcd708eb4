-- SPDX-License-Identifier: MIT
--
-- An independent strict JSON reader: libjansson by ffi. It refuses invalid UTF-8, raw control characters, lone
-- surrogate escapes, trailing bytes and (asked to) duplicate members. available is false where it is not installed.
local ffi = require("ffi")

ffi.cdef[[
typedef struct { int type; volatile size_t refcount; } spec_json;
typedef struct { int line, column, position; char source[80]; char text[160]; } spec_json_error;
spec_json *json_loadb(const char *buffer, size_t len, size_t flags, spec_json_error *error);
void json_delete(spec_json *json);
void *json_object_iter(spec_json *object);
void *json_object_iter_next(spec_json *object, void *iter);
const char *json_object_iter_key(void *iter);
spec_json *json_object_iter_value(void *iter);
const char *json_string_value(const spec_json *string);
size_t json_string_length(const spec_json *string);
double json_real_value(const spec_json *real);
size_t json_array_size(const spec_json *array);
spec_json *json_array_get(const spec_json *array, size_t index);
]]

local REJECT_DUPLICATES, DECODE_ANY, INT_AS_REAL, ALLOW_NUL = 0x1, 0x4, 0x8, 0x10
local OBJECT, ARRAY, STRING, REAL, TRUE = 0, 1, 2, 4, 5
local FLAGS = REJECT_DUPLICATES + DECODE_ANY + INT_AS_REAL + ALLOW_NUL

local found, library = pcall(ffi.load, "libjansson.so.4")
local M = { available = found, missing = "libjansson4 is not installed" }
local failure = ffi.new("spec_json_error")

local function load(bytes, len)
  local json = library.json_loadb(bytes, len, FLAGS, failure)
  if json == nil then
    return nil, ffi.string(failure.text) .. " at byte " .. failure.position
  end
  return json
end

local value
function value(json)
  if json.type == STRING then
    return ffi.string(library.json_string_value(json), library.json_string_length(json))
  elseif json.type == REAL then
    return library.json_real_value(json)
  elseif json.type == TRUE then
    return true
  elseif json.type == ARRAY then
    local list = {}
    for i = 1, tonumber(library.json_array_size(json)) do list[i] = value(library.json_array_get(json, i - 1)) end
    return list
  end
  error("a record holds strings, numbers, true and lists only, not jansson's type " .. json.type)
end

--- True when the bytes are one JSON object and nothing else; else nil and the reason.
function M.is_object(bytes, len)
  local json, why = load(bytes, len)
  if not json then
    return nil, why
  end
  local object = json.type == OBJECT
  library.json_delete(json)
  return object
end

--- The Lua value of a JSON string, a list or a flat object; else nil and the reason.
function M.decode(text)
  local json, why = load(text, #text)
  if not json then
    return nil, why
  end
  local result
  if json.type == OBJECT then
    result = {}
    local iter = library.json_object_iter(json)
    while iter ~= nil do
      result[ffi.string(library.json_object_iter_key(iter))] = value(library.json_object_iter_value(iter))
      iter = library.json_object_iter_next(json, iter)
    end
  else
    result = value(json)
  end
  library.json_delete(json)
  return result
end

return M
