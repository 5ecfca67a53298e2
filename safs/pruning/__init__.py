"""Pruning: four axes, methods, the selection of weights and the removal of whole units."""
