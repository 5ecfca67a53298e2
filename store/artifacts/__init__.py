"""Files by the hash of their content, on disk and in object storage."""
