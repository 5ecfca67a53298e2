"""The axes that a pruning method is composed of: scores, distributions, schedules, granularity."""
