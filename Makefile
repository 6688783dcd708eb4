# cellflow: one executable with the BPF object and the Lua runtime inside, and one library for the specs.
#   make V=1 shows the commands; make SANITIZE=1 builds into build/sanitize with ASan and UBSan.
VERSION  := 0.1.0
SANITIZE ?=
BUILD    ?= $(if $(SANITIZE),build/sanitize,build)
CC       ?= gcc
CLANG    ?= clang
LUAJIT   ?= luajit
PREFIX   ?= /usr/local

Q := $(if $(V),,@)
msg = $(if $(V),,@printf '  %-8s %s\n' "$(1)" "$(patsubst $(abspath .)/%,%,$(2))")

PKGS     := libbpf libelf libmd luajit libmnl libnetfilter_log libzstd libxxhash libpcap
WARNINGS := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wvla $(if $(WERROR),-Werror)
CFLAGS   ?= -O3 -g
comma := ,
ALL_CFLAGS := -std=gnu11 $(WARNINGS) -fPIC -pthread -D_GNU_SOURCE -DCF_VERSION='"$(VERSION)"' -Icore \
	$(shell pkg-config --cflags $(PKGS)) $(CFLAGS) \
	$(if $(SANITIZE),-fsanitize=address$(comma)undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
LIBS := $(shell pkg-config --libs $(PKGS)) -pthread -lm -ldl
# Lua reaches core by symbol name (ffi.C) and its own modules by luaJIT_BC_*: both must stay visible.
EXPORT := -Wl,--export-dynamic-symbol='cf_*' -Wl,--export-dynamic-symbol='luaJIT_BC_*'

BPF_CFLAGS := -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Werror -ffreestanding -Icore \
	-I/usr/include/$(shell uname -m)-linux-gnu $(if $(filter x86_64 i%86,$(shell uname -m)),-DCF_STORES_IN_ORDER)

CORE_SRC := $(filter-out core/main.c core/cmd%.c,$(wildcard core/*.c))
MAIN_SRC := core/main.c $(wildcard core/cmd*.c)
LUA_SRC  := $(wildcard lua/cellflow/*.lua)
BPF_SRC  := $(wildcard bpf/*.bpf.c bpf/test/*.bpf.c)
HEADERS_FOR_LUA := event plan api

CORE_OBJ := $(CORE_SRC:core/%.c=$(BUILD)/core/%.o) $(BUILD)/core/bpf_embedded.o
MAIN_OBJ := $(MAIN_SRC:core/%.c=$(BUILD)/core/%.o) $(BUILD)/core/starter_embedded.o
LUA_GEN  := $(HEADERS_FOR_LUA:%=$(BUILD)/lua/cellflow/%_h.lua)
LUA_OBJ  := $(LUA_SRC:lua/cellflow/%.lua=$(BUILD)/lua/%.o) $(LUA_GEN:$(BUILD)/lua/cellflow/%.lua=$(BUILD)/lua/%.o)
# Each file of spec/fuzz is one libFuzzer target; all are linked with what any of them calls.
FUZZ_BIN := $(patsubst spec/fuzz/%.c,build/fuzz/%,$(wildcard spec/fuzz/*.c))
FUZZ_SRC := core/packet.c core/nflog.c core/nflog_message.c core/nflog_prefix.c core/frozen_record.c core/own_record.c \
	core/error.c core/clock.c core/json.c core/frame.c core/frame_read.c core/recording_open.c \
	core/recording_columns.c core/recording_pack.c core/recording_read.c core/address.c core/flow_table.c core/sweep.c \
	core/capture.c core/capture_cells.c core/capture_file.c core/capture_flows.c core/capture_link.c \
	core/capture_merge.c core/capture_open.c core/option_choice.c core/options.c core/log.c
FUZZ_LIBS := $(shell pkg-config --libs libzstd libxxhash libpcap)
BPF_OBJ  := $(BPF_SRC:bpf/%.bpf.c=$(BUILD)/bpf/%.bpf.o)

.DELETE_ON_ERROR:
.PHONY: all lib bpf flowgen fuzz lint format test bench bench-tools install clean help compile_commands
.SECONDARY:

all: $(BUILD)/cellflow lib bpf ## build the executable, the library for specs and the BPF objects

lib: $(BUILD)/libcellflow.so $(LUA_GEN)
bpf: $(BPF_OBJ)
flowgen: $(BUILD)/flowgen ## build the traffic generator of demo and specs

$(BUILD)/cellflow: $(MAIN_OBJ) $(CORE_OBJ) $(LUA_OBJ)
	$(call msg,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $(EXPORT) -o $@ $^ $(LIBS)

$(BUILD)/libcellflow.so: $(CORE_OBJ)
	$(call msg,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -shared -o $@ $^ $(LIBS)

$(BUILD)/flowgen: $(wildcard scripts/flowgen*.c scripts/flowgen*.h) Makefile
	$(call msg,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(filter %.c,$^)

# What scripts/bench runs besides the product: one program for each file, linked with all of the product's objects.
BENCH_BIN := $(patsubst scripts/bench.d/%.c,$(BUILD)/bench/%,$(wildcard scripts/bench.d/*.c))
BENCH_BPF := $(patsubst bpf/bench/%.bpf.c,$(BUILD)/bpf/bench/%.bpf.o,$(wildcard bpf/bench/*.bpf.c))

bench: ## measure, against rivals, into bench/ (needs root; installs what is missing)
	scripts/bench

bench-tools: all flowgen $(BENCH_BIN) $(BENCH_BPF)

$(BUILD)/bench/%: scripts/bench.d/%.c $(CORE_OBJ) $(LUA_OBJ)
	$(call msg,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $(EXPORT) -o $@ $^ $(LIBS)

fuzz: $(FUZZ_BIN) ## build the fuzz targets (scripts/deps --fuzz; scripts/soak fuzz runs them)

build/fuzz/%: spec/fuzz/%.c $(FUZZ_SRC) $(wildcard core/*.h bpf/*.h) Makefile
	$(call msg,FUZZ,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) -std=gnu11 $(WARNINGS) -D_GNU_SOURCE -DCF_VERSION='"$(VERSION)"' -Icore -O1 -g -fno-omit-frame-pointer \
		-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -o $@ $(filter %.c,$^) $(FUZZ_LIBS)

$(BUILD)/core/%.o: core/%.c Makefile
	$(call msg,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/core/bpf_embedded.o: core/bpf_embedded.S $(BUILD)/bpf/cellflow.bpf.o
	$(call msg,EMBED,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -DCF_BPF_OBJECT='"$(BUILD)/bpf/cellflow.bpf.o"' -c -o $@ $<

$(BUILD)/core/starter_embedded.o: core/starter_embedded.S $(wildcard lua/starter/*.lua)
	$(call msg,EMBED,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -c -o $@ $<

$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h bpf/test/*.h) bpf/cellflow.bpf.c core/event.h core/flow.h core/packet.h \
	core/frozen_record.h Makefile
	$(call msg,BPF,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -c -o $@ $<

# The header that C compiles is the text that Lua declares: preprocessor lines go, nothing else changes.
$(BUILD)/lua/cellflow/%_h.lua: core/%.h
	$(call msg,CDEF,$@)
	$(Q)mkdir -p $(@D)
	$(Q){ echo 'require("ffi").cdef[==['; sed -e '/^#/d' $<; echo ']==]'; } > $@

$(BUILD)/lua/%.o: lua/cellflow/%.lua
	$(call msg,LUA,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(LUAJIT) -bg -n cellflow.$* $< $@

$(BUILD)/lua/%.o: $(BUILD)/lua/cellflow/%.lua
	$(call msg,LUA,$@)
	$(Q)$(LUAJIT) -bg -n cellflow.$* $< $@

lint: ## luacheck, shellcheck, and both compilers with warnings as errors
	luacheck -q .
	shellcheck $$(grep -lIr '^#!.*bash' scripts .ci)
	$(Q)$(MAKE) --no-print-directory BUILD=build/lint-gcc CC=gcc WERROR=1 bench-tools
	$(Q)$(MAKE) --no-print-directory BUILD=build/lint-clang CC=clang WERROR=1 bench-tools

format: ## clang-format all C (changes files)
	clang-format -i core/*.c core/*.h bpf/*.c bpf/*.h bpf/bench/*.c spec/fuzz/*.c scripts/*.c scripts/*.h \
		scripts/bench.d/*.c

test: ## all specs (needs root; installs what is missing)
	scripts/test

install: all ## install the executable and the example policies under PREFIX
	install -D -m 755 $(BUILD)/cellflow $(DESTDIR)$(PREFIX)/bin/cellflow
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/cellflow cellflow.lua.example
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/cellflow/examples lua/examples/*.lua

compile_commands: ## compile_commands.json for clangd
	bear -- $(MAKE) --no-print-directory -B BUILD=build/bear all

clean: ## remove everything that was built
	rm -rf build compile_commands.json

help: ## this list
	@sed -n 's/^\([a-z_]*\):.*## /  \1\t/p' Makefile | expand -t 22

-include $(wildcard $(BUILD)/core/*.d)
