# Builds the libraries of setup-windows that have no stamp. DEPS is their folder. The long ones come
# first, so that no core waits for the last of them.
LIBRARIES := openblas hwloc zstd cmocka jansson lapack nettle xxhash

all: $(LIBRARIES:%=$(DEPS)/stamps/%)

$(DEPS)/stamps/%:
	@echo "setup-windows: building $*"
	+@scripts/windows/$* $(DEPS) >$(DEPS)/logs/$*.log 2>&1 || { tail -n 20 $(DEPS)/logs/$*.log; exit 1; }
	@mv $@.wanted $@
