"""Where trainings and prunings run, and the work that travels between processes."""
