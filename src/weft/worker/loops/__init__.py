"""Chores of the worker, a file each. Every worker does them; rows say whose turn it is."""
