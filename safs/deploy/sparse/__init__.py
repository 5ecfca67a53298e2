"""A runtime for sparse networks on CPUs: convolutions whose cost is the number of live weights."""
