"""Removal of whole units: which units go, and how the network becomes smaller."""
