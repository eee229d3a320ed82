"""What the database needs from time to time: `weft db maintain`, by hand or on a schedule.

Each task plans its steps from the server's own statistics, so that `--dry-run` shows what would be done, and what needs
nothing costs nothing. Every step is safe beside traffic and safe to break off: VACUUM, ANALYZE, REINDEX CONCURRENTLY
and deletions of a few rows at a time, each with a short wait for locks. A step that fails does not stop the others.
"""
