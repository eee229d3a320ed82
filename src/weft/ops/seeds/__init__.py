"""What `weft db seed` puts into an installation.

`document.py` says what a seed file may hold, `reading.py` reads and checks one, `making.py` makes what it asks for
(`people.py`, `things.py` and `running.py` know how), `systems.py` lists the five that come with weft. The systems are
seed files like any other, in `systems/`.
"""
