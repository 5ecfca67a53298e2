"""The parts of ``benchmarks.api_load``: rows, writers, users, streams, plans."""
