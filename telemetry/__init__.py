"""How processes tell what they do: logs as lines of JSON or of text, and traces by OpenTelemetry."""
