"""Parts of ``benchmarks.api_load``: rows, writers, users, streams and query plans."""
