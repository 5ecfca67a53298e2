"""Content-addressed files, on disk and in object storage."""
