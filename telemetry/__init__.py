"""Logs as JSON or text, and traces with OpenTelemetry."""
