# Windows, built and tested on Debian. The Makefile includes this file before its rules.
#
# `make windows` calls make again with SYSTEM=windows. The rules of the Makefile then build for
# Windows, with the values below.
WINDOWS_DEPS  ?= build/windows-deps
WINDOWS_BUILD := build/windows
EXE :=
COMPAT :=

ifeq ($(SYSTEM),windows)
CC  := x86_64-w64-mingw32-gcc-posix
AR  := x86_64-w64-mingw32-ar
EXE := .exe
# Files with LORT_VECTORS: Windows has no dynamic loader that chooses a version of a function. So
# they are compiled for AVX2 alone, and the command looks at the processor before it calls them.
VECTOR_SRC := $(shell grep -lE '^(static )?LORT_VECTORS' $(LIB_SRC))
LORT_CFLAGS := -std=c11 -g -ffile-prefix-map=$(CURDIR)=. -ffp-contract=off -I. -D__USE_MINGW_ANSI_STDIO=1 \
    -DLORT_BLAS_LOCKS=1 -DLORT_BLAS_BUFFER=0x2000000 $(WARN) $(FLAVOUR) -isystem $(WINDOWS_DEPS)/include $(CFLAGS)
LORT_LIBS := $(LDFLAGS) -static -L$(WINDOWS_DEPS)/lib -llapacke -lopenblas -lgfortran -lquadmath -lzstd -lxxhash -lnettle \
    -lhwloc -ljansson -lpsapi -lntdll -lshell32 -pthread
CMOCKA_LIBS := -L$(WINDOWS_DEPS)/lib -lcmocka-static
COMPAT := $(BUILD)/tests/unit/windows/compat.o
TEST_LIBS := $(COMPAT) -llapack-test -llapacke -lopenblas -lgfortran -lquadmath
# tests/windows-skips.tsv has the programs that are not built here, and why
SKIPS := tests/windows-skips.tsv
NOT_BUILT := $(shell awk -F '\t' '$$2 == "*" && !/[.]bats/ { print $$1 }' $(SKIPS))
UNIT_SRC := $(filter-out $(foreach name,$(NOT_BUILT),%/$(name).c),$(UNIT_SRC))
FUZZ_SRC := $(filter-out $(foreach name,$(NOT_BUILT),%/$(name).c),$(FUZZ_SRC))
UNIT_EXE := $(UNIT_SRC:tests/%.c=$(BUILD)/tests/%.exe)
FUZZ_EXE := $(FUZZ_SRC:tests/%.c=$(BUILD)/tests/%.exe)

$(UNIT_EXE) $(FUZZ_EXE): $(COMPAT)
windows-programs: $(BUILD)/lort.exe $(UNIT_EXE) $(FUZZ_EXE)
windows-tests:
	@scripts/windows/run-tests $(BUILD) $(patsubst %,tap:%.exe,$(filter test_%,$(NOT_BUILT))) $(patsubst %,replay:%.exe,$(filter fuzz_%,$(NOT_BUILT))) $(UNIT_EXE:%=tap:%) $(FUZZ_EXE:%=replay:%) $(BATS:%=bats:%) \
	    'plain:scripts/windows/check-exe $(BUILD) $(WINDOWS_DEPS) $(VERSION)'

$(VECTOR_SRC:%.c=$(BUILD)/%.o): LORT_CFLAGS += -march=x86-64-v3
$(BUILD)/tests/%.o: LORT_CFLAGS += -D_FILE_OFFSET_BITS=64 -DCMOCKA_STATIC -Werror=implicit-function-declaration -Itests/unit/windows -include tests/unit/windows_compat.h
endif

windows: ## build build/windows/lort.exe and its tests, for Windows; prepares compiler and libraries first (Debian; minutes)
	@scripts/setup-windows $(WINDOWS_DEPS)
	@$(MAKE) --no-print-directory SYSTEM=windows MODE=release BUILD=$(WINDOWS_BUILD) WINDOWS_DEPS=$(WINDOWS_DEPS) windows-programs

check-windows: windows all ## run the tests of the Windows build under Wine
	@$(MAKE) --no-print-directory SYSTEM=windows MODE=release BUILD=$(WINDOWS_BUILD) WINDOWS_DEPS=$(WINDOWS_DEPS) windows-tests

dist-windows: windows ## pack lort.exe, README and the licences of the libraries in it: build/windows/lort-VERSION-windows.zip
	@scripts/windows/pack $(WINDOWS_BUILD) $(WINDOWS_DEPS) $(VERSION)

.PHONY: windows check-windows dist-windows windows-programs windows-tests
