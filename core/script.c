/* SPDX-License-Identifier: MIT
 * The Lua boundary: see script.h. The runtime is Lua byte code linked into the executable (luaJIT_BC_cellflow_*),
 * which require() finds by symbol; what it does is lua/cellflow/host.lua's to say. */
#include <lauxlib.h>
#include <lua.h>
#include <luajit.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "api.h"
#include "log.h"
#include "memory.h"
#include "script.h"

static struct {
	lua_State *L;
	int host; /* registry references */
	int batch;
	int moment;
	const struct cf_opener *opener; /* while a policy is read */
	const char *purpose; /* NULL: to decide events */
	uint32_t memory_mb; /* 0: no limit */
	int is_full;
	int is_alone; /* 1: no other worker goes on */
	void (*tell_full)(enum cf_script_full how, const char *text);
} script;

/* Measured: 6,600 levels of gsub take 58 MB, 9,400 in the interpreter 82 MB. The kernel leaves 128 MB below a stack. */
#define STACK_BYTES (120UL << 20)

void cf_script_stack(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_STACK, &limit) < 0 || limit.rlim_cur >= STACK_BYTES)
		return;
	limit.rlim_cur = limit.rlim_max < STACK_BYTES ? limit.rlim_max : STACK_BYTES;
	setrlimit(RLIMIT_STACK, &limit);
}

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
	lua_pushstring(L, script.purpose); /* nil for NULL */
	lua_call(L, 2, 1);
	lua_getfield(L, -1, "batch");
	script.batch = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_getfield(L, -1, "moment");
	script.moment = luaL_ref(L, LUA_REGISTRYINDEX);
	script.host = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

/* Only a call that is not protected can come here, and only without memory: the next worker takes over. */
static int panic(lua_State *L)
{
	const char *text = lua_tostring(L, -1);

	cf_error_log("Lua runtime: %s", text ? text : "an error that is no text");
	_exit(1);
}

int cf_script_open(struct cf_error *error)
{
	script.L = lua_newstate(cf_memory_alloc, NULL);
	if (!script.L) { /* malloc's addresses are not always ones that LuaJIT can use; its own allocator's are */
		cf_debug("Lua's memory has no ceiling of its own here");
		script.L = luaL_newstate();
	}
	if (!script.L)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "no memory for a Lua state");
	lua_atpanic(script.L, panic);
	cf_script_interpret(1);
	if (lua_cpcall(script.L, open_runtime, NULL) != 0)
		return fail(error, CF_FAIL_INTERNAL, "Lua runtime: ");
	return 0;
}

void cf_script_close(void)
{
	if (script.L)
		lua_close(script.L);
	script.L = NULL;
	script.is_full = 0;
}

void cf_script_alone(void)
{
	script.is_alone = 1;
}

int cf_script_is_open(void)
{
	return script.L != NULL;
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

void cf_script_limit(uint32_t memory_mb)
{
	script.memory_mb = memory_mb;
	cf_memory_limit((uint64_t)memory_mb << 20);
}

void cf_script_on_full(void (*tell)(enum cf_script_full how, const char *text))
{
	script.tell_full = tell;
}

static void tell_full(enum cf_script_full how, const char *text)
{
	if (script.tell_full)
		script.tell_full(how, text);
	else
		cf_warn("%s", text);
}

static uint64_t bytes_held(void)
{
	return (uint64_t)lua_gc(script.L, LUA_GCCOUNT, 0) << 10;
}

/* Garbage is no leak: only what a full collection leaves counts. */
static int is_over_limit(void)
{
	if (!cf_memory_exceeds(bytes_held()))
		return 0;
	cf_memory_lift(1); /* to collect may take memory, and an error here would meet nobody */
	lua_gc(script.L, LUA_GCCOLLECT, 0);
	cf_memory_lift(0);
	return cf_memory_exceeds(bytes_held());
}

/* Out of memory inside a trace, LuaJIT reads and writes a stack frame that is not there (a segmentation fault one time
 * in four, on Debian 12). So compiled code never meets a refusal: the process ends, with nothing of the batch
 * committed, and the next one decides that batch in the interpreter, where the same policy gets its Lua error. */
static void burst(void)
{
	char text[128];

	if (script.is_alone) {
		cf_error_log("the policy wanted more than %u MB at once, which is its limit (limits.memory_mb) and as "
			     "much again",
			     script.memory_mb * CF_MEMORY_HARD);
		_exit(1);
	}
	snprintf(text, sizeof(text),
		 "the policy wanted more than %u MB at once: its worker goes, the next one interprets the batch",
		 script.memory_mb * CF_MEMORY_HARD);
	tell_full(CF_SCRIPT_WANTED, text);
	_exit(CF_SCRIPT_FULL);
}

void cf_script_interpret(int on)
{
	if (!script.L) /* a turn without a policy */
		return;
	cf_memory_on_refusal(on ? NULL : burst);
	luaJIT_setmode(script.L, 0, LUAJIT_MODE_ENGINE | (on ? LUAJIT_MODE_OFF : LUAJIT_MODE_ON));
	if (on)
		luaJIT_setmode(script.L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_FLUSH);
}

int cf_script_is_full(void)
{
	return script.is_full;
}

/* path -> text, or nil and why not. Raises nothing but "not enough memory". */
static int read_include(lua_State *L)
{
	struct cf_error error = { 0 };
	char *text;
	size_t len;

	if (script.opener->read(script.opener->context, luaL_checkstring(L, 1), &text, &len, &error) < 0) {
		lua_pushnil(L);
		lua_pushstring(L, error.text);
		return 2;
	}
	lua_pushlstring(L, text, len);
	free(text);
	return 1;
}

static void push_texts(const char *const *texts)
{
	lua_newtable(script.L);
	for (int i = 0; texts[i]; i++) {
		lua_pushstring(script.L, texts[i]);
		lua_rawseti(script.L, -2, i + 1);
	}
}

int cf_script_select(const struct cf_selection *selection, uint64_t *until_ns, struct cf_error *error)
{
	*until_ns = 0;
	if (!selection->words[0])
		return 0;
	push_host("select");
	push_texts(selection->words);
	lua_pushnumber(script.L, selection->now);
	lua_pushboolean(script.L, selection->is_live);
	if (lua_pcall(script.L, 3, 1, 0) != 0)
		return fail(error, CF_FAIL_INTERNAL, "Lua runtime: ");
	if (lua_type(script.L, -1) == LUA_TSTRING)
		return fail(error, CF_FAIL_USAGE, "");
	if (lua_type(script.L, -1) == LUA_TNUMBER)
		*until_ns = (uint64_t)(lua_tonumber(script.L, -1) * 1e9);
	lua_settop(script.L, 0);
	return 0;
}

/* ", 31 MB of it in \"kept\" of verdict at p.lua:3", or "". */
static void name_holder(char *text, size_t size)
{
	const char *named = NULL;

	text[0] = '\0';
	cf_memory_lift(1); /* to look takes memory */
	push_host("holder");
	if (lua_pcall(script.L, 0, 1, 0) == 0)
		named = lua_tostring(script.L, -1);
	if (named)
		snprintf(text, size, ", %s", named);
	lua_settop(script.L, 0);
	cf_memory_lift(0);
}

int cf_script_load(const struct cf_policy *policy, const struct cf_opener *opener, struct cf_plan *plan,
		   struct cf_error *error)
{
	char where[512];

	script.opener = opener;
	push_host("load");
	if (policy->text)
		lua_pushlstring(script.L, policy->text, policy->len);
	else
		lua_pushnil(script.L);
	lua_pushstring(script.L, policy->name);
	push_args(policy->args);
	push_pointer(plan);
	lua_pushcfunction(script.L, read_include);
	if (lua_pcall(script.L, 5, 0, 0) != 0)
		return fail(error, CF_FAIL_POLICY, "");
	if (!is_over_limit())
		return 0;
	name_holder(where, sizeof(where));
	return cf_fail(error, CF_FAIL_POLICY, 0, "%s: holds %llu MB%s, when it was just read, and %u MB is its limit",
		       policy->name, (unsigned long long)(bytes_held() >> 20), where, script.memory_mb);
}

int cf_script_bind(const struct cf_plan *plan, struct cf_error *error)
{
	push_host("bind");
	push_pointer(plan);
	if (lua_pcall(script.L, 1, 0, 0) != 0)
		return fail(error, CF_FAIL_INTERNAL, "Lua runtime: ");
	return 0;
}

int cf_script_count_traces(struct cf_error *error)
{
	push_host("count_traces");
	if (lua_pcall(script.L, 0, 0, 0) != 0)
		return fail(error, CF_FAIL_INTERNAL, "Lua runtime: ");
	return 0;
}

static void look_at_memory(void)
{
	char where[512], text[1024];

	if (script.is_full || !is_over_limit())
		return;
	script.is_full = 1;
	name_holder(where, sizeof(where));
	snprintf(text, sizeof(text),
		 "the policy holds %llu MB%s, and %u MB is its limit: its worker goes, and its state with it",
		 (unsigned long long)(bytes_held() >> 20), where, script.memory_mb);
	tell_full(CF_SCRIPT_HELD, text);
}

int cf_script_batch(struct cf_error *error)
{
	int rc = 0;

	lua_rawgeti(script.L, LUA_REGISTRYINDEX, script.batch);
	lua_pushinteger(script.L, cf_batch_get()->count);
	if (lua_pcall(script.L, 1, 0, 0) != 0)
		rc = fail(error, CF_FAIL_INTERNAL, "Lua runtime: ");
	look_at_memory();
	cf_memory_settle();
	return rc;
}

int cf_script_slow(double seconds, double limit)
{
	int again;

	if (!script.L)
		return 0;
	push_host("slow");
	lua_pushnumber(script.L, seconds);
	lua_pushnumber(script.L, limit);
	if (lua_pcall(script.L, 2, 1, 0) != 0) {
		lua_settop(script.L, 0);
		return 0;
	}
	again = lua_toboolean(script.L, -1);
	lua_settop(script.L, 0);
	return again;
}

int cf_script_moment(const struct cf_script_moment *now, uint64_t *timer_ns, struct cf_error *error)
{
	static const char *const names[] = { "start", "stop", "lost", "timer" };

	lua_rawgeti(script.L, LUA_REGISTRYINDEX, script.moment);
	lua_pushstring(script.L, names[now->moment]);
	lua_pushnumber(script.L, (lua_Number)now->now_ns / 1e9);
	lua_pushnumber(script.L, (lua_Number)now->lost);
	lua_pushnumber(script.L, (lua_Number)now->lost_total);
	if (lua_pcall(script.L, 4, 1, 0) != 0)
		return fail(error, CF_FAIL_INTERNAL, "Lua runtime: ");
	*timer_ns = (uint64_t)(lua_tonumber(script.L, -1) * 1e9);
	lua_settop(script.L, 0);
	look_at_memory();
	cf_memory_settle();
	return 0;
}

void cf_script_stop(void)
{
	push_host("stop");
	if (lua_pcall(script.L, 0, 0, 0) != 0)
		lua_settop(script.L, 0);
}

void cf_script_purpose(const char *purpose)
{
	script.purpose = purpose;
}

int cf_script_ask(const char *what, struct cf_plan *plan, const char *const *texts, char **text, struct cf_error *error)
{
	const char *said;
	int answer;

	*text = NULL;
	push_host("ask");
	lua_pushstring(script.L, what);
	push_pointer(plan);
	push_texts(texts);
	if (lua_pcall(script.L, 3, 2, 0) != 0)
		return fail(error, CF_FAIL_INTERNAL, "Lua runtime: ");
	answer = (int)lua_tointeger(script.L, -2);
	said = lua_tostring(script.L, -1);
	*text = strdup(said ? said : "");
	lua_settop(script.L, 0);
	return *text ? answer : cf_fail(error, CF_FAIL_INTERNAL, 0, "no memory");
}

static int open_libraries(lua_State *L)
{
	luaL_openlibs(L);
	return 0;
}

int cf_script_run(const char *name, const char *const *texts, struct cf_error *error)
{
	int code;

	script.L = luaL_newstate();
	if (!script.L)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "no memory for a Lua state");
	lua_atpanic(script.L, panic);
	if (lua_cpcall(script.L, open_libraries, NULL) != 0)
		return fail(error, CF_FAIL_INTERNAL, "Lua runtime: ");
	lua_getglobal(script.L, "require");
	lua_pushstring(script.L, name);
	if (lua_pcall(script.L, 1, 1, 0) != 0)
		return fail(error, CF_FAIL_INTERNAL, "");
	push_texts(texts);
	if (lua_pcall(script.L, 1, 1, 0) != 0)
		return fail(error, CF_FAIL_INTERNAL, "");
	code = (int)lua_tointeger(script.L, -1);
	lua_settop(script.L, 0);
	return code;
}
