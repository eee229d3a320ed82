"""Workflows: the drawn definition, its immutable versions, and the triggers that start it."""
