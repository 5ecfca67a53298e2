"""Strict parsers of uploaded files."""
