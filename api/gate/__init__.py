"""What every request passes before its endpoint: keys, limits, headers."""
