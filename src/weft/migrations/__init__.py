"""Alembic's revisions, shipped inside the package so that `weft db migrate` works from a wheel."""
