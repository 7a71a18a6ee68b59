# LoRT. `make help` lists the targets.
#
#   MODE=release|asan|ubsan|tsan   flavour; each has its own directory under build/
#   CC=gcc|clang  WERROR=1         warnings are errors (CI)
#   PREFIX=/usr/local DESTDIR=     for install

MODE    ?= release
PREFIX  ?= /usr/local
CC      ?= cc
PKG_CONFIG ?= pkg-config
BUILD   ?= build/$(MODE)

VERSION := $(shell sed -n 's/^.define LORT_VERSION "\(.*\)"/\1/p' compress/lort.h)
PKGS    := openblas lapacke libzstd hwloc libxxhash jansson

FLAGS_release := -O2
FLAGS_asan    := -O1 -fsanitize=address -fno-omit-frame-pointer
FLAGS_ubsan   := -O1 -fsanitize=undefined -fno-sanitize-recover=all
FLAGS_tsan    := -O1 -fsanitize=thread
FLAVOUR := $(FLAGS_$(MODE))
ifeq ($(FLAVOUR),)
$(error MODE=$(MODE) is not one of release asan ubsan tsan)
endif

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual -Wvla -Wundef \
        -Wformat=2 -Wpointer-arith -Wwrite-strings -Wno-unused-parameter $(if $(WERROR),-Werror)
LORT_CFLAGS := -std=c11 -g -ffp-contract=off -I. -D_FILE_OFFSET_BITS=64 $(WARN) $(FLAVOUR) \
               $(shell $(PKG_CONFIG) --cflags $(PKGS)) $(CFLAGS)
LORT_LIBS   := $(FLAVOUR) $(LDFLAGS) $(shell $(PKG_CONFIG) --libs $(PKGS)) -lm -pthread

LIB_SRC := $(wildcard formats/*.c loader/*.c compress/*.c)
CLI_SRC := $(wildcard compress/cli/*.c)
UNIT_SRC := $(wildcard tests/unit/test_*.c tests/numerics/test_*.c)
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o)
CLI_OBJ := $(CLI_SRC:%.c=$(BUILD)/%.o)
UNIT_BIN := $(UNIT_SRC:tests/%.c=$(BUILD)/tests/%)

all: $(BUILD)/lort ## build the library and the lort command
lib: $(BUILD)/liblort.a

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(LORT_CFLAGS) -MMD -MP -c $< -o $@
$(BUILD)/liblort.a: $(LIB_OBJ)
	@rm -f $@
	ar rcs $@ $(LIB_OBJ)
$(BUILD)/lort: $(CLI_OBJ) $(BUILD)/liblort.a
	$(CC) $(CLI_OBJ) $(BUILD)/liblort.a $(LORT_LIBS) -o $@
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(BUILD)/liblort.a
	$(CC) $< $(BUILD)/liblort.a $(shell $(PKG_CONFIG) --libs cmocka) $(LORT_LIBS) -ldl -o $@

.PHONY: all lib
.PRECIOUS: $(BUILD)/%.o
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
