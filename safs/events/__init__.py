"""What a running job reports: events, progress, the stage log and faults."""
