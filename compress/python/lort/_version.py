"""The version of LoRT that this package belongs to. tests/python compares it with LORT_VERSION of lort.h."""
__version__ = "0.1.0"
