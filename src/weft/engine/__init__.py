"""Drives executions: claims jobs, loads state, advances in memory, saves in sets. Step kinds and triggers live here."""
