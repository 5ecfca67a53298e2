"""Reports of a running job: events, progress, the stage log and faults."""
