"""Jobs that were given up: what they were to do, why they could not, and what can be done about it."""
