"""weft's own step kinds, one file each. Others add theirs by the entry point `weft.step_kinds` (`registry.py`)."""
