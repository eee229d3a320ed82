"""Chores of the worker, a file each. Every worker does them; rows and locks say whose turn it is."""
