"""Activation operators, the module that applies one, and the surgery that inserts them into a model."""
