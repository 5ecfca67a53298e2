"""Pruning: the four axes, the methods, the selection of weights and the removal of whole units."""
