"""Secrets: values that steps hand to other systems, and that nobody can read again."""
