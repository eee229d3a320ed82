"""The schema as pages and pictures, from the live catalogue: what `weft db docs` writes.

`catalogue.py` reads, `rooms.py` knows which room a table belongs to, `pages.py` writes Markdown, `drawing.py` writes
the sources of the pictures, `rendering.py` makes pictures of them, and `writing.py` puts it all into a directory.
"""
