"""The job spec, its presets and options. Imports no torch."""
