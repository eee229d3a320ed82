"""Chores of the worker, a file each. Every worker does them; rows say whose turn it is."""
"""Chores of the worker: one file for each, with a `run_once(now)`."""
