"""The whole method as one straight line: dense, prune, search, final, report."""
