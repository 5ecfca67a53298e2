"""Activation operators, the module that applies one, and the surgery that puts them into any model."""
