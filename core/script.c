/* SPDX-License-Identifier: MIT
 * The Lua boundary: see script.h. The runtime is Lua byte code linked into the executable (luaJIT_BC_cellflow_*),
 * which require() finds by symbol; what it does is lua/cellflow/host.lua's to say. */
#include <lauxlib.h>
#include <lua.h>
#include <luajit.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>
#include "api.h"
#include "log.h"
#include "script.h"

static struct {
	lua_State *L;
	int host; /* registry references */
	int batch;
} script;

const char *cf_script_version(void)
{
	return LUAJIT_VERSION;
}

/* Take the error message off the stack. */
static int fail(struct cf_error *error, enum cf_failure kind, const char *what)
{
	lua_State *L = script.L;
	const char *text = lua_tostring(L, -1);

	cf_fail(error, kind, 0, "%s%s", what, text ? text : "an error that is no text");
	for (char *at = error ? error->text : NULL; at && *at; at++)
		if (*at == '\n')
			*at = ' ';
	lua_settop(L, 0);
	return -1;
}

/* In a protected call of its own: opening libraries may run out of memory. */
static int open_runtime(lua_State *L)
{
	luaL_openlibs(L); /* all of them: without jit's the compiler stays off, and policies see none of it */
	lua_getglobal(L, "require");
	lua_pushvalue(L, -1);
	lua_pushliteral(L, "cellflow.lib"); /* first: it declares the headers that the other modules name */
	lua_call(L, 1, 1);
	lua_insert(L, -2);
	lua_pushliteral(L, "cellflow.host");
	lua_call(L, 1, 1);
	lua_getfield(L, -1, "new");
	lua_pushvalue(L, -3);
	lua_call(L, 1, 1);
	lua_getfield(L, -1, "batch");
	script.batch = luaL_ref(L, LUA_REGISTRYINDEX);
	script.host = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

int cf_script_open(struct cf_error *error)
{
	script.L = luaL_newstate();
	if (!script.L)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "no memory for a Lua state");
	if (lua_cpcall(script.L, open_runtime, NULL) != 0)
		return fail(error, CF_FAIL_INTERNAL, "Lua runtime: ");
	return 0;
}

void cf_script_close(void)
{
	if (script.L)
		lua_close(script.L);
	script.L = NULL;
}

static void push_host(const char *function)
{
	lua_rawgeti(script.L, LUA_REGISTRYINDEX, script.host);
	lua_getfield(script.L, -1, function);
	lua_remove(script.L, -2);
}

/* A number, not a lightuserdata: exact for any address of a process, and the compiler knows it. */
static void push_pointer(const void *pointer)
{
	lua_pushnumber(script.L, (lua_Number)(uintptr_t)pointer);
}

static void push_args(const char *const *args)
{
	lua_newtable(script.L);
	for (; args && args[0]; args += 2) {
		lua_pushstring(script.L, args[1]);
		lua_setfield(script.L, -2, args[0]);
	}
}

int cf_script_load(const struct cf_policy *policy, struct cf_plan *plan, struct cf_error *error)
{
	push_host("load");
	if (policy->text)
		lua_pushlstring(script.L, policy->text, policy->len);
	else
		lua_pushnil(script.L);
	lua_pushstring(script.L, policy->name);
	push_args(policy->args);
	push_pointer(plan);
	if (lua_pcall(script.L, 4, 0, 0) != 0)
		return fail(error, CF_FAIL_POLICY, "");
	return 0;
}

int cf_script_bind(const struct cf_plan *plan, struct cf_error *error)
{
	push_host("bind");
	push_pointer(plan);
	if (lua_pcall(script.L, 1, 0, 0) != 0)
		return fail(error, CF_FAIL_INTERNAL, "Lua runtime: ");
	return 0;
}

int cf_script_batch(struct cf_error *error)
{
	lua_rawgeti(script.L, LUA_REGISTRYINDEX, script.batch);
	lua_pushinteger(script.L, cf_batch_get()->count);
	if (lua_pcall(script.L, 1, 0, 0) != 0)
		return fail(error, CF_FAIL_INTERNAL, "Lua runtime: ");
	return 0;
}

void cf_script_stop(void)
{
	push_host("stop");
	if (lua_pcall(script.L, 0, 0, 0) != 0)
		lua_settop(script.L, 0);
}

/* Each text of the list at `index`; returns their number. */
static int each_line(int index, void (*take)(const char *line))
{
	int count = (int)lua_objlen(script.L, index);

	for (int i = 1; i <= count; i++) {
		lua_rawgeti(script.L, index, i);
		take(lua_tostring(script.L, -1));
		lua_pop(script.L, 1);
	}
	return count;
}

static void warn(const char *line)
{
	cf_warn("%s", line);
}

int cf_script_check(void (*report)(const char *line), struct cf_error *error)
{
	int findings;

	push_host("check");
	if (lua_pcall(script.L, 0, 2, 0) != 0)
		return fail(error, CF_FAIL_INTERNAL, "Lua runtime: ");
	each_line(2, warn);
	findings = each_line(1, report);
	lua_settop(script.L, 0);
	return findings;
}
