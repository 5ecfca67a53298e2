"""Reuse of results: keys, the cache, its files, and the executor that asks the cache first."""
