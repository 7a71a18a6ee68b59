# LoRT. `make help` lists the targets; `make -j2 check` builds with two jobs (scripts/check takes one per core).
#
#   MODE=release|asan|ubsan|tsan   flavour; each has its own directory under build/
#   CC=gcc|clang  WERROR=1         compiler; warnings are errors
#   BLAS=openblas|none             none: lib and lort without OpenBLAS, which read only (build/MODE-reader)
#   WITH_CURL=1|0                  0: lib and lort without HTTP, so they read no model from the network (build/MODE-offline)
#   PREFIX=/usr/local DESTDIR=     for install
#   PYTHONDIR=                     of the Python package, for install
#   T=gguf                         of check, check-unit, check-cli, fuzz: only suites and cases with this in their names
#   JOBS=2                         test suites, or targets of `make fuzz`, at a time (check: one more than cores)
#   TIME=60                        seconds of each target of `make fuzz`
#   V=1                            show whole commands
#   WINDOWS_DEPS=DIR WINEPREFIX=   where the libraries of `make windows` are kept, and the files of Wine (below build/)

.DEFAULT_GOAL := all
MODE    ?= release
PREFIX  ?= /usr/local
CC      ?= cc
PKG_CONFIG ?= pkg-config
BLAS    ?= openblas
WITH_CURL ?= $(if $(filter windows,$(SYSTEM)),0,1)
BUILD   ?= build/$(MODE)$(if $(filter none,$(BLAS)),-reader)$(if $(filter 0,$(WITH_CURL)),-offline)
TIME    ?= 60
comma := ,
say = $(if $(V),,@echo "  $(1)	$@";)

SYSTEM  ?= posix linux
VERSION := $(shell sed -n 's/^.define LORT_VERSION "\(.*\)"/\1/p' compress/lort.h)
ifeq ($(filter none openblas,$(BLAS)),)
$(error BLAS=$(BLAS) is not one of openblas none)
endif
ifeq ($(filter 0 1,$(WITH_CURL)),)
$(error WITH_CURL=$(WITH_CURL) is not one of 0 1)
endif
PKGS    := $(if $(filter openblas,$(BLAS)),openblas lapacke) libzstd hwloc libxxhash jansson nettle

FLAGS_release := -O3
FLAGS_asan    := -O1 -fsanitize=address -fno-omit-frame-pointer
FLAGS_ubsan   := -O1 -fsanitize=undefined -fno-sanitize-recover=all
FLAGS_tsan    := -O1 -fsanitize=thread
FLAGS_fuzz    := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
FLAVOUR := $(FLAGS_$(MODE))
ifeq ($(FLAVOUR),)
$(error MODE=$(MODE) is not one of release asan ubsan tsan fuzz)
endif

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual -Wvla -Wundef \
        -Wformat=2 -Wpointer-arith -Wwrite-strings -Wno-unused-parameter -Wno-psabi $(if $(WERROR),-Werror)
# libcurl is loaded when it is needed (loader/http/http.c), so only its headers are asked for.
PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PKGS) $(if $(filter 1,$(WITH_CURL)),libcurl) 2>/dev/null)
PKG_LIBS   := $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null)
READER_LIBS := $(shell $(PKG_CONFIG) --libs $(filter-out openblas lapacke,$(PKGS)) 2>/dev/null)
# The prefix map keeps the directory of the build out of debugging information: the same bytes anywhere.
# The objects serve the command, the archive and the shared library. As functions are not replaced from outside, calls
# within the library stay direct.
PIC := -fPIC -fno-semantic-interposition
LORT_CFLAGS := -std=c11 -g $(PIC) -ffile-prefix-map=$(CURDIR)=. -ffp-contract=off -I. -D_FILE_OFFSET_BITS=64 $(WARN) $(FLAVOUR) $(PKG_CFLAGS) $(CFLAGS)
LORT_LIBS   := $(FLAVOUR) $(LDFLAGS) $(PKG_LIBS) -lm -pthread
ifeq ($(PKG_LIBS),)
$(warning not all of $(PKGS) are here: scripts/setup installs them)
endif
TEST_LIBS   := -ldl
CMOCKA_LIBS := $(shell $(PKG_CONFIG) --libs cmocka 2>/dev/null)

# One of two files has the interface of compress/math/blas.h.
OTHER_BLAS := compress/math/$(if $(filter none,$(BLAS)),blas,blas_none).c
# One of two files has the interface of loader/http/http.h.
OTHER_HTTP := loader/http/$(if $(filter 0,$(WITH_CURL)),http,http_none).c
# What a build takes: loader/os/NAME, and elsewhere files whose names end in _NAME.c, for the names in SYSTEM alone.
OTHERS   := $(foreach name,$(filter-out $(SYSTEM),posix linux windows),%_$(name).c tests/unit/loader/os/$(name)/%)
sources   = $(filter-out $(OTHERS),$(wildcard $(1)))
LIB_SRC  := $(filter-out compress/cli/% $(OTHER_BLAS) $(OTHER_HTTP),$(call sources,formats/*/*.c loader/*/*.c $(SYSTEM:%=loader/os/%/*.c) compress/*/*.c))
CLI_SRC  := $(call sources,compress/cli/*.c compress/cli/*/*.c)
UNIT_SRC := $(call sources,tests/numerics/test_*.c tests/unit/*/*/test_*.c tests/unit/*/*/*/test_*.c)
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
BENCH_SRC := $(wildcard tests/bench/bench_*.c)
EXAMPLE_SRC := $(wildcard tests/examples/*.c)
MAKER    := $(BUILD)/tests/bench/make_model
FAULT_SO := $(BUILD)/tests/fault/fault.so
BATS     := $(filter-out tests/cli/launchers.bats,$(wildcard tests/cli/*.bats))
PYTESTS  := $(wildcard tests/python/test_*.py)
FETCHER  := $(if $(filter 1,$(WITH_CURL)),$(BUILD)/tests/remote/fetch)
NETTESTS := $(if $(FETCHER),$(wildcard tests/remote/test_*.py))
# Where Python looks for packages: Debian's below /usr and /usr/local, else those of a user or a virtual environment.
PYTHON_VERSION = $(shell /usr/bin/python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])' 2>/dev/null || echo python3)
# Debian keeps what packages bring apart from what an administrator adds.
ZSH_PLACE = $(if $(filter /usr,$(PREFIX)),vendor-completions,site-functions)
PYTHONDIR ?= $(PREFIX)/lib/$(if $(filter /usr,$(PREFIX)),python3/dist-packages,$(PYTHON_VERSION)/$(if $(filter /usr/local,$(PREFIX)),dist,site)-packages)
ifeq ($(MODE),tsan) # ten times as slow, and nothing to find where one thread runs
ONE_THREAD := archive basics block codec container dtype encode format gguf half held imatrix integers json lines memory multiply planes publish quant random rans report sha256 source_name \
              safetensors shards tensor terms trellis weighting
UNIT_SRC := $(filter-out $(foreach name,$(ONE_THREAD),%/test_$(name).c),$(UNIT_SRC))
FUZZ_SRC :=
BATS     := $(addprefix tests/cli/,changes.bats threads.bats)
LEFT_OUT := echo "tsan: what has one thread is left out: parsers, coders, replays and most of the command line";
endif
ifneq ($(filter asan tsan,$(MODE)),)
PYTESTS  :=
LEFT_OUT += echo "$(MODE): the tests of the Python package are left out: python is not sanitised";
endif
include scripts/windows.mk
LIB_OBJ  := $(LIB_SRC:%.c=$(BUILD)/%.o)
CLI_OBJ  := $(CLI_SRC:%.c=$(BUILD)/%.o)
READER_OBJ := $(LIB_OBJ:%/math/blas.o=%/math/blas_none.o)
SONAME   := liblort.so.0
SHARED   := $(SONAME).$(VERSION)
# start_posix.o executes the program again before main
CLI_PARTS := $(filter-out %/cli/main.o %/cli/start_posix.o,$(CLI_OBJ))
UNIT_BIN := $(UNIT_SRC:tests/%.c=$(BUILD)/tests/%$(EXE))
FUZZ_BIN := $(FUZZ_SRC:tests/%.c=$(BUILD)/tests/%$(EXE))
BENCH_BIN := $(BENCH_SRC:tests/%.c=$(BUILD)/tests/%)
EXAMPLE_BIN := $(EXAMPLE_SRC:%.c=$(BUILD)/%)
QUALITY_BIN := $(addprefix $(BUILD)/tests/bench/bench_,bits difference encoders lossless quality ternary)
SPEED_BIN := $(filter-out $(QUALITY_BIN),$(BENCH_BIN))
OBJ := $(LIB_OBJ) $(CLI_OBJ) $(patsubst %.c,$(BUILD)/%.o,$(UNIT_SRC) $(FUZZ_SRC) $(BENCH_SRC) $(EXAMPLE_SRC) tests/bench/make_model.c tests/fuzz/replay.c tests/remote/fetch.c)

all: $(BUILD)/lort $(BUILD)/liblort.so ## build the lort command, liblort.a and liblort.so

lib: $(BUILD)/liblort.a ## build liblort.a only

shared: $(BUILD)/liblort.so ## build liblort.so, liblort.so.0 and the file that both lead to

# run-tests reads T and JOBS from the environment, where make puts them. It remembers how long each suite took.
RUN_TESTS = TIMES=$(BUILD)/test-times.json LORT=$(BUILD)/lort MODE=$(MODE) FAULT=$(FAULT_SO) KILLS=40 LOSING=20 scripts/run-tests
TABLES    = 'plain:scripts/check-layers --objects $(BUILD)' plain:tests/fault/check_table.py $(LINT)
LINT      = plain:scripts/check-format
# Left out of check-fast: each takes more than 5 s of processor time.
SLOW_TESTS := $(foreach name,factor flips importance resume resume_inputs trits,%/test_$(name)) \
    $(foreach name,attacks changes docs format golden hostile hub imatrix limits models outside package page quantize quantize-hostile quantize-resume report resume roundtrip same-bytes strict,tests/cli/$(name).bats)

check: all $(BUILD)/lort-reader $(UNIT_BIN) $(FUZZ_BIN) $(EXAMPLE_BIN) $(FETCHER) $(FAULT_SO) $(if $(WERROR),check-clang) ## run every test: layers, unit, numerics, fuzz corpus, command line, Python
	@scripts/windows/tell-checked $(WINDOWS_BUILD)
	@$(LEFT_OUT) $(RUN_TESTS) tap:tests/fault/inject.py $(if $(filter release,$(MODE)),plain:tests/fault/kill.py) $(TABLES) \
	    $(UNIT_BIN:%=tap:%) $(BATS:%=bats:%) $(PYTESTS:%=pytest:%) $(NETTESTS:%=pytest:%) $(FUZZ_BIN:%=replay:%)

check-fast: all $(BUILD)/lort-reader $(UNIT_BIN) $(FUZZ_BIN) $(EXAMPLE_BIN) ## run the tests that take under a minute together: layers, units, and the quickest of the command line
	@$(LEFT_OUT) $(RUN_TESTS) $(TABLES) $(patsubst %,tap:%,$(filter-out $(SLOW_TESTS),$(UNIT_BIN))) \
	    $(patsubst %,bats:%,$(filter-out $(SLOW_TESTS),$(BATS))) $(FUZZ_BIN:%=replay:%)

check-unit: $(UNIT_BIN) $(FUZZ_BIN) ## run the unit, numerics and fuzz corpus tests only
	@$(LEFT_OUT) $(RUN_TESTS) $(UNIT_BIN:%=tap:%) $(FUZZ_BIN:%=replay:%)

check-cli: all $(BUILD)/lort-reader $(EXAMPLE_BIN) ## run the tests of the command line only
	@$(LEFT_OUT) $(RUN_TESTS) $(BATS:%=bats:%)

check-remote: $(FETCHER) ## run the tests of the network only: servers on loopback, and the imitation of the Hub
	@$(LEFT_OUT) $(RUN_TESTS) $(NETTESTS:%=pytest:%)

check-python: all ## run the tests of the Python package only
	@$(LEFT_OUT) $(RUN_TESTS) $(PYTESTS:%=pytest:%)

lint: ## check that every C source is formatted as .clang-format says (clang-format 14)
	@scripts/check-format || [ $$? -eq 77 ]

check-faults: $(BUILD)/lort $(FAULT_SO) ## every command with every call that can fail failing once, and the power going at every change of a file
	@LORT=$(BUILD)/lort MODE=$(MODE) tests/fault/inject.py --full

check-hub: $(BUILD)/lort ## models of the network under 200 random sequences of faults: the same bytes as from disk (10 minutes)
	@rm -rf $(BUILD)/hub && mkdir -p $(BUILD)/hub/model && python3 tests/cli/one_layer.py tests/data/kjv-3m $(BUILD)/hub/model
	@LORT=$(BUILD)/lort tests/cli/hub.py faults 200 $(BUILD)/hub/model/hf $(BUILD)/hub/run $(SEED)

check-kills: $(BUILD)/lort $(FAULT_SO) ## 1,000 kills at random instants, 200 of them losing what was not synced; every one is resumed to the same bytes
	@LORT=$(BUILD)/lort FAULT=$(FAULT_SO) tests/fault/kill.py

check-tasks: $(BUILD)/lort ## 300 kills of tasks and of merge at random instants; at the end the bytes of one process
	@LORT=$(BUILD)/lort tests/fault/kill_tasks.py

check-launchers: $(BUILD)/lort ## the lines of plan --for in a real Slurm, under GNU parallel and mpirun; needs root and their packages
	@LORT=$(BUILD)/lort scripts/run-tests bats:tests/cli/launchers.bats

check-all: ## every test in every flavour, every fault, 1,000 kills, a minute of fuzzing each, ten of repaired: about two hours
	LORT_SLOW=1 $(MAKE) MODE=release check
	$(MAKE) MODE=asan check
	$(MAKE) MODE=ubsan check
	$(MAKE) MODE=tsan check
	$(MAKE) MODE=release check-faults check-kills check-tasks
	$(MAKE) MODE=asan check-faults
	$(MAKE) fuzz TIME=60
	$(MAKE) fuzz TIME=600 T=repaired

check-layers: $(BUILD)/liblort.a $(CLI_OBJ) $(READER_OBJ) ## check the arrows of includes and calls, and the lengths of functions
	@scripts/check-layers --objects $(BUILD)

check-warnings: ## build everything under gcc and clang, warnings being errors
	$(MAKE) MODE=release CC=gcc BUILD=build/warnings-gcc WERROR=1 programs
	$(MAKE) MODE=release CC=clang BUILD=build/warnings-clang WERROR=1 programs

demo: $(BUILD)/lort ## compress, verify, restore and compare the bundled model, and tell what it cost
	@LORT=$(BUILD)/lort scripts/show-demo

fuzz: ## fuzz each target for TIME seconds with libFuzzer, two at a time, and print a table (clang)
	$(MAKE) CC=clang MODE=fuzz fuzz-run

bench: $(SPEED_BIN) $(BUILD)/lort $(MAKER) ## what LoRT does beside what the machine can, with bars (15 minutes; BENCH=short: 2)
	@set -e; for program in $(SPEED_BIN); do echo "== $${program##*/}"; $$program; done
	@echo "== out_of_core.py"; LORT=$(BUILD)/lort MAKER=$(MAKER) tests/bench/out_of_core.py

bench-out-of-core: $(BUILD)/lort $(MAKER) ## 16 GiB models and an 8 GiB tensor in cgroups of 512 MiB: root, 22 GiB of disk (BENCH_DIR, /tmp), 25 minutes
	@LORT=$(BUILD)/lort MAKER=$(MAKER) tests/bench/out_of_core.py memory

bench-quality: $(QUALITY_BIN) ## bits and errors beside llama.cpp's, differences, lossless shares, rounded factors, trits (BENCH=short: a sixth of the matrices)
	@set -e; for program in $(QUALITY_BIN); do $$program; done

install: all ## install the command, library, headers, lort.pc, manual, completions and Python package
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include/lort/formats/base \
	           $(DESTDIR)$(PREFIX)/include/lort/compress $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $(BUILD)/lort $(DESTDIR)$(PREFIX)/bin/lort
	install -m 644 $(BUILD)/liblort.a $(DESTDIR)$(PREFIX)/lib/liblort.a
	install -m 644 $(BUILD)/$(SHARED) $(DESTDIR)$(PREFIX)/lib/$(SHARED)
	ln -sf $(SHARED) $(DESTDIR)$(PREFIX)/lib/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(PREFIX)/lib/liblort.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@LIBS@|$(PKG_LIBS)|' lort.pc.in \
	    > $(DESTDIR)$(PREFIX)/lib/pkgconfig/lort.pc
	install -m 644 compress/lort.h $(DESTDIR)$(PREFIX)/include/lort/lort.h
	install -m 644 compress/lort_report.h $(DESTDIR)$(PREFIX)/include/lort/compress/lort_report.h
	install -m 644 compress/lort_files.h $(DESTDIR)$(PREFIX)/include/lort/compress/lort_files.h
	install -m 644 compress/lort_weights.h $(DESTDIR)$(PREFIX)/include/lort/compress/lort_weights.h
	install -m 644 formats/base/error.h $(DESTDIR)$(PREFIX)/include/lort/formats/base/error.h
	install -m 644 formats/base/escape.h $(DESTDIR)$(PREFIX)/include/lort/formats/base/escape.h
	install -m 644 formats/base/text.h $(DESTDIR)$(PREFIX)/include/lort/formats/base/text.h
	scripts/make-man $(BUILD)/lort $(BUILD)/man
	install -m 644 docs/lort.1 $(BUILD)/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	set -e; for file in bash:bash-completion/completions/lort zsh:zsh/$(ZSH_PLACE)/_lort fish:fish/vendor_completions.d/lort.fish; do \
	    $(BUILD)/lort help --completion $${file%%:*} > $(BUILD)/completion; \
	    install -D -m 644 $(BUILD)/completion $(DESTDIR)$(PREFIX)/share/$${file#*:}; done
	install -d $(DESTDIR)$(PYTHONDIR)/lort
	install -m 644 compress/python/lort/*.py compress/python/lort/py.typed $(DESTDIR)$(PYTHONDIR)/lort

wheel: $(BUILD)/wheel/lort $(BUILD)/wheel/$(SONAME) ## build a Python wheel with the library, the command and all that they need, below build/wheel
	@BUILD=$(BUILD) scripts/make-wheel

clean: ## remove build/
	rm -rf build

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' Makefile
	@sed -n 's/^#   \([A-Z].*\)/  \1/p' Makefile

# ---- how ----

check-clang:
	@if command -v clang >/dev/null; then $(MAKE) MODE=release CC=clang BUILD=build/warnings-clang WERROR=1 programs; \
	else echo "no clang here: its warnings are not looked for"; fi

programs: all $(BUILD)/lort-reader $(UNIT_BIN) $(FUZZ_BIN) $(BENCH_BIN) $(EXAMPLE_BIN) $(FETCHER) $(BUILD)/loader/http/http_none.o $(MAKER) $(FAULT_SO)

FUZZ_RUN := $(if $(T),$(foreach program,$(FUZZ_BIN),$(if $(findstring $(T),$(notdir $(program))),$(program))),$(FUZZ_BIN))
fuzz-run: $(FUZZ_RUN)
	@scripts/run-fuzz $(TIME) $(BUILD)/fuzz $(FUZZ_RUN)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(LORT_CFLAGS) -MMD -MP -c $< -o $@
$(BUILD)/compress/report/assets.o: $(wildcard compress/report/page.css compress/report/page.js compress/report/vendor/*)
$(BUILD)/liblort.a: $(LIB_OBJ)
	@rm -f $@
	$(call say,AR)$(AR) rcsD $@ $(LIB_OBJ)
# liblort.so -> liblort.so.0 (the SONAME) -> liblort.so.0.VERSION. The number rises with the major version of LORT_API_VERSION.
# compress/lort.map lists the functions of the public headers. tests/cli/library.bats compares both.
# An undefined symbol is an error, but for sanitizers: the program brings their runtime.
NO_UNDEFINED := $(if $(filter release,$(MODE)),-Wl$(comma)-z$(comma)defs)
$(BUILD)/$(SHARED): $(LIB_OBJ) compress/lort.map
	$(call say,LD)$(CC) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=compress/lort.map $(NO_UNDEFINED) $(LIB_OBJ) $(LORT_LIBS) -o $@
$(BUILD)/$(SONAME): $(BUILD)/$(SHARED)
	@ln -sf $(<F) $@
$(BUILD)/liblort.so: $(BUILD)/$(SONAME)
	@ln -sf $(<F) $@
$(BUILD)/lort$(EXE): $(CLI_OBJ) $(BUILD)/liblort.a
	$(call say,LD)$(CC) $(CLI_OBJ) $(BUILD)/liblort.a $(LORT_LIBS) -o $@
$(BUILD)/lort-reader: $(CLI_OBJ) $(READER_OBJ) # what BLAS=none builds, from the objects that are here; for tests
	$(call say,LD)$(CC) $^ $(FLAVOUR) $(LDFLAGS) $(READER_LIBS) -lm -pthread -o $@
# Of a wheel: both find the libraries beside them. DT_RPATH, unlike DT_RUNPATH, holds for the libraries of libraries too.
BESIDE := -Wl,--disable-new-dtags -Wl,-rpath,'$$ORIGIN
$(BUILD)/wheel/lort: $(CLI_OBJ) $(BUILD)/liblort.a
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(CLI_OBJ) $(BUILD)/liblort.a $(LORT_LIBS) $(BESIDE)/../lib' -o $@
$(BUILD)/wheel/$(SONAME): $(READER_OBJ) compress/lort.map
	@mkdir -p $(@D)
	$(call say,LD)$(CC) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=compress/lort.map $(NO_UNDEFINED) $(READER_OBJ) \
	    $(FLAVOUR) $(LDFLAGS) $(READER_LIBS) -lm -pthread $(BESIDE)' -o $@
ifeq ($(MODE),fuzz)
FUZZ_MAIN := -fsanitize=fuzzer
else
FUZZ_MAIN := $(BUILD)/tests/fuzz/replay.o
$(FUZZ_BIN): $(FUZZ_MAIN)
endif
$(BUILD)/tests/fuzz/fuzz_%$(EXE): $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/liblort.a
	$(call say,LD)$(CC) $< $(FUZZ_MAIN) $(COMPAT) $(BUILD)/liblort.a $(WRAP) $(LORT_LIBS) -o $@
$(BUILD)/tests/examples/%.o: LORT_CFLAGS += -Icompress # they include "lort.h", as a program does that uses an installed LoRT
$(BUILD)/tests/examples/%: $(BUILD)/tests/examples/%.o $(BUILD)/liblort.a
	$(call say,LD)$(CC) $< $(BUILD)/liblort.a $(LORT_LIBS) -o $@
$(BUILD)/tests/%$(EXE): $(BUILD)/tests/%.o $(BUILD)/liblort.a
	$(call say,LD)$(CC) $< $(BUILD)/liblort.a $(WRAP) $(CMOCKA_LIBS) $(LORT_LIBS) $(TEST_LIBS) -o $@
$(BUILD)/tests/unit/compress/cli/%$(EXE): $(BUILD)/tests/unit/compress/cli/%.o $(CLI_PARTS) $(BUILD)/liblort.a
	$(call say,LD)$(CC) $< $(CLI_PARTS) $(BUILD)/liblort.a $(CMOCKA_LIBS) $(LORT_LIBS) $(TEST_LIBS) -o $@
$(FAULT_SO): tests/fault/fault.c tests/fault/lose.c tests/fault/fault.h
	@mkdir -p $(@D)
	$(call say,LD)$(CC) -std=c11 -g -O1 -fPIC -shared -fvisibility=hidden -fno-builtin -fno-omit-frame-pointer -I. $(WARN) $(filter %.c,$^) -ldl -pthread -o $@
$(BUILD)/tests/fuzz/fuzz_repaired$(EXE): WRAP := -Wl,--wrap=lort_os_process_memory
$(patsubst %,$(BUILD)/tests/unit/compress/write/test_%$(EXE),resume resume_inputs): WRAP := $(patsubst %,-Wl$(comma)--wrap=lort_os_%,sync dir_sync time_ns)
$(BUILD)/tests/bench/bench_cores: WRAP := -Wl,--wrap=lort_pool_each
$(BUILD)/tests/unit/compress/slice/test_decide$(EXE): WRAP := $(patsubst %,-Wl$(comma)--wrap=lort_%,dsyevd dsyevd_values)
$(BUILD)/tests/bench/bench_phases: WRAP := $(patsubst %,-Wl$(comma)--wrap=lort_%,sgemm dgemm dsyevd dsyevd_values)

.PHONY: all lib shared check check-python check-remote check-hub wheel check-fast check-unit lint check-all check-cli check-faults check-kills check-tasks check-launchers check-layers check-warnings demo fuzz bench bench-quality bench-out-of-core install clean help check-clang programs fuzz-run
.SECONDARY: $(OBJ)
-include $(OBJ:.o=.d)
