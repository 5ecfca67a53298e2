"""What a user may ask for: the job spec, its presets and options. Imports no torch."""
