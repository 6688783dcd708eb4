std = "luajit"
max_line_length = 120
exclude_files = { "build" }
files["spec"] = { std = "luajit+busted" }
-- What an operator's file may name: the hooks it defines and cellflow's words.
local policy = {
  globals = { "verdict", "reason", "dedup", "format" },
  read_globals = {
    "cell", "metadata", "output", "net", "log", "json", "args", "kB", "MB", "GB", "sec", "minute", "hour",
    "allow", "deny", "default", "on", "every", "include", "limits", "flows", "emit", "counter", "window",
  },
  ignore = { "212" },
}
files["lua/examples"] = policy
files["lua/starter/cellflow.lua"] = policy
files["lua/starter/cellflow_spec.lua"] = { std = "luajit+busted" }
