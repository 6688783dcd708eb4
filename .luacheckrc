std = "luajit"
max_line_length = 120
exclude_files = { "build" }
files["spec"] = { std = "luajit+busted" }
-- What an operator's file may name: the hooks it defines and cellflow's words.
files["lua/examples"] = {
  globals = { "verdict", "reason", "dedup", "format" },
  read_globals = {
    "cell", "metadata", "output", "net", "log", "json", "args", "kB", "MB", "GB", "sec", "minute", "hour",
    "allow", "deny", "default", "on", "every", "include", "limits", "flows", "emit", "counter", "window",
  },
  ignore = { "212" },
}
