"""Executions: one run of one version, its journal, and what may still be done to it."""
