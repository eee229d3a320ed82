"""Measurements: scenarios that a user would recognise, each a ratio against a ceiling taken in the same run."""
