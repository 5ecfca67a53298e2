"""Checks that every request passes before its endpoint: connection limits, API keys, rate limits, body limits."""
