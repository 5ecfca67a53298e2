"""One short run that tells how fast the service trains on a GPU."""
