"""The audit log: what was changed, by whom, from where. Written by triggers, read here."""
