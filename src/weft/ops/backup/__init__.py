"""Backups: a dump of one moment, encrypted, signed, kept in places of the operator's choice, and proved by a restore.

    PLACE/20261125T020000Z-4f2a9c01/database.dump.age    what pg_dump wrote, through age
    PLACE/20261125T020000Z-4f2a9c01/manifest.json        what is in it, signed; written last
    PLACE/20261125T020000Z-4f2a9c01/proof.json           what a restore of it found, signed

Without its manifest a backup is not there. `targets` are the places, `sealing` the keys and the encryption, `manifest`
and `proofs` what is written beside the data; `making`, `proving`, `restoring` and `tenants` do the work; `upkeep`
decides what is kept, `scheduling` when it is time again.
"""
