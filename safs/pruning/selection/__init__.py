"""Selection of the weights to keep, from scores to masks."""
