"""Maintenance of a service's data: collection, backup, restore, scrub."""
