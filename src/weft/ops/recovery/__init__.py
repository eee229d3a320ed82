"""Back to a moment: base backups, the write-ahead log (WAL) as it is written, restores to a time, and drills.

    receiver    pg_receivewal writes the WAL into the spool, held by a replication slot
    archiver    seals finished segments, and regularly the unfinished one, and moves them to the targets
    base        pg_basebackup, checked file by file while it streams, sealed, with its manifest
    plan        which base and which WAL lead to a moment, and what may be deleted; pure
    restoring   a new data directory beside the old one, recovered and proved
    drill       does all that for practice, and measures how much would be lost and how long it takes

What lies on a target, below `recovery/<system identifier>/`: `base/<id>/`, `wal/<segment>`, `state.json`, `drills/`.
A system identifier belongs to one database cluster, so clusters that share a target never mix.
"""
