"""Every way in which a backup, its proof or a restore says no."""

from __future__ import annotations

from collections.abc import Sequence

from weft.core.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable


class BackupPlaceInvalid(Invalid):
    code = "backup_place_invalid"

    def __init__(self, address: str) -> None:
        super().__init__(
            f"'{address}' is no place for backups. Name a directory, or a bucket as s3://bucket/prefix "
            "(with WEFT_BACKUP_S3_ENDPOINT and its keys where it is not the cloud's own)."
        )


class BackupEndpointInvalid(Invalid):
    code = "backup_endpoint_invalid"

    def __init__(self, endpoint: str) -> None:
        super().__init__(
            f"'{endpoint}' is no address of an S3-compatible server. WEFT_BACKUP_S3_ENDPOINT, or endpoint= of a place, "
            "begins with http:// or https://, such as https://s3.example.com or http://127.0.0.1:9000."
        )


class BackupPlaceUnknown(NotFound):
    code = "backup_place_unknown"

    def __init__(self, place: str, known: Sequence[str]) -> None:
        super().__init__(f"'{place}' is none of the places of backups. They are: {', '.join(known)}.")


class BackupPlaceUnreachable(Unavailable):
    code = "backup_place_unreachable"

    def __init__(self, address: str, said: str) -> None:
        super().__init__(
            f"{address} cannot be used ({said}). Nothing there was changed that looks whole. Check that it exists, "
            "that it has room, and that WEFT_BACKUP_* name the right endpoint and keys."
        )


class ArtefactMissing(NotFound):
    code = "artefact_missing"

    def __init__(self, address: str, name: str) -> None:
        super().__init__(f"{address} has no {name}. `weft db backups` lists what there is, and where its copies are.")


class BackupNotFound(NotFound):
    code = "backup_not_found"

    def __init__(self, wanted: str) -> None:
        super().__init__(f"There is no backup '{wanted}'. `weft db backups` lists those there are.")


class NoBackupYet(NotFound):
    code = "no_backup_yet"

    def __init__(self, place: str) -> None:
        super().__init__(f"There is no backup in {place} yet. Make one with `weft db backup`.")


class ManifestDamaged(Invalid):
    code = "manifest_damaged"

    def __init__(self, name: str, said: str) -> None:
        super().__init__(
            f"{name} is not a manifest that weft wrote: {said}. Use another copy of this backup (--place)."
        )


class ManifestTooNew(Invalid):
    code = "manifest_too_new"

    def __init__(self, name: str, found: object) -> None:
        super().__init__(
            f"{name} is in format {found}, which this weft does not know. Use the version that wrote it, "
            "or a newer one."
        )


class SignatureWrong(Invalid):
    code = "signature_wrong"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The signature of {name} does not fit its content: it was changed after it was signed. "
            "Do not restore it; use another copy of this backup."
        )


class SignerUnknown(Forbidden):
    code = "signer_unknown"

    def __init__(self, name: str, key: str) -> None:
        super().__init__(
            f"{name} is signed with the key {key}, which is not trusted here, so anybody may have written it. "
            "If you know that key, name it in WEFT_BACKUP_SIGNERS, or give the key file that was kept offline "
            "(--identity)."
        )


class ArtefactCut(Invalid):
    code = "artefact_cut"

    def __init__(self, name: str, found: int, expected: int) -> None:
        super().__init__(
            f"{name} has {found} bytes and should have {expected}: it was cut off, or added to. "
            "Use another copy of this backup (--place)."
        )


class ArtefactDamaged(Invalid):
    code = "artefact_damaged"

    def __init__(self, name: str, found: str, expected: str) -> None:
        super().__init__(
            f"{name} is not what was written: its SHA-256 is {found[:16]}..., and should be {expected[:16]}... "
            "Use another copy of this backup (--place)."
        )


class RecipientInvalid(Invalid):
    code = "recipient_invalid"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"'{text[:20]}...' is no recipient: name public keys, such as age1... or ssh-ed25519 ..., in "
            "WEFT_BACKUP_RECIPIENTS. A secret key does not belong there."
        )


class RecipientUnknown(Invalid):
    code = "recipient_unknown"

    def __init__(self, place: str) -> None:
        super().__init__(
            f"{place} is an OpenSSH key, whose public half it does not tell. Name that in WEFT_BACKUP_RECIPIENTS "
            "(ssh-ed25519 ...), so that backups can be encrypted for it."
        )


class RecipientDiffers(Conflict):
    code = "recipient_differs"

    def __init__(self, recipient: str, identity: str) -> None:
        super().__init__(
            f"{recipient} is not the public half of {identity}, so backups made now could not be opened with it. "
            "Put back the file that belongs to the other; or remove the recipient: it is derived anew from the "
            "identity, and backups made so far need their own key."
        )


class IdentityMissing(Invalid):
    code = "identity_missing"

    def __init__(self, place: str) -> None:
        super().__init__(
            f"The key that opens backups is not here ({place}). Name its file with --identity or "
            "WEFT_BACKUP_IDENTITY_FILE; it was made with the first backup, to be kept offline."
        )


class IdentityInvalid(Invalid):
    code = "identity_invalid"

    def __init__(self, place: str) -> None:
        super().__init__(
            f"{place} holds no key that can be used: a line AGE-SECRET-KEY-1..., or an OpenSSH private key without "
            "a passphrase."
        )


class IdentityWrong(Invalid):
    code = "identity_wrong"

    def __init__(self, name: str, recipients: str) -> None:
        super().__init__(
            f"None of the keys given opens {name}: it was encrypted for {recipients or 'somebody else'}. "
            "Name the file with the matching key: --identity, or WEFT_BACKUP_IDENTITY_FILE."
        )


class SealBroken(Invalid):
    code = "seal_broken"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} cannot be decrypted: it was damaged or cut after it was encrypted. "
            "Use another copy of this backup (--place)."
        )


class SealFailed(Unavailable):
    code = "seal_failed"

    def __init__(self, said: str) -> None:
        super().__init__(f"The backup could not be encrypted ({said}). Nothing was kept.")


class SigningKeyInvalid(Invalid):
    code = "signing_key_invalid"

    def __init__(self, place: str) -> None:
        super().__init__(
            f"{place} is not the key that signs backups. Put back the file that was there, or remove it: a new one "
            "is made, and backups signed so far then need their key in WEFT_BACKUP_SIGNERS."
        )


class ProgramsMissing(Unavailable):
    code = "backup_programs_missing"

    def __init__(self, server: int, found: str, *, encrypted: bool) -> None:
        wants = f"PostgreSQL {server} or newer" + (" that speaks TLS" if encrypted else "")
        super().__init__(
            f"This server needs pg_dump and pg_restore of {wants}; found {found}. Install the client programs "
            f"(package postgresql-client-{server}) so that they are on the PATH. Nothing was done."
        )


class NothingToBackUp(Conflict):
    code = "nothing_to_back_up"

    def __init__(self, database: str) -> None:
        super().__init__(f"The database {database} has no schema of weft yet: `weft db migrate` makes it.")


class RowsHidden(Forbidden):
    code = "rows_hidden"

    def __init__(self, table: str, sees: int, has: int) -> None:
        super().__init__(
            f"The backup would be incomplete: of {table} {sees} rows are seen where there are {has}. Row security "
            "hides rows from this role; use WEFT_DATABASE_ADMIN_URL of a superuser, or the owner of the tables. "
            "Nothing was kept."
        )


class DumpFailed(Unavailable):
    code = "dump_failed"

    def __init__(self, said: str) -> None:
        super().__init__(f"pg_dump did not finish: {said}. Nothing was kept.")


class RestoreFailed(Unavailable):
    code = "restore_failed"

    def __init__(self, said: str) -> None:
        super().__init__(f"pg_restore did not finish: {said}. What was there before is unchanged.")


class RoomMissing(Unavailable):
    code = "backup_room_missing"

    def __init__(self, directory: str) -> None:
        super().__init__(
            f"There is no room left in {directory}, where the backup is unpacked: it takes twice the room of the "
            "database for a while. Make room, or set TMPDIR to a directory that has it, and try again. Nothing was "
            "changed, and nothing is held against the backup."
        )


class RestoreDiffers(Conflict):
    code = "restore_differs"

    def __init__(self, backup: str, differences: Sequence[str]) -> None:
        shown = "; ".join(differences[:5]) + (f"; and {len(differences) - 5} more" if len(differences) > 5 else "")
        super().__init__(
            f"What came out of {backup} is not what went in: {shown}. Do not rely on this backup; make another one."
        )


class BackupKindDiffers(Invalid):
    code = "backup_kind_differs"

    def __init__(self, backup: str, kind: str) -> None:
        super().__init__(
            f"{backup} is a backup of the kind '{kind}', which this command does not read. "
            "`weft db backups` shows kinds."
        )


class MasterKeyDiffers(Conflict):
    code = "master_key_differs"

    def __init__(self, backup: str) -> None:
        super().__init__(
            f"The tenants' keys in {backup} do not open with this installation's master key, so stored secrets would "
            "be lost. The master key is in no backup: set WEFT_MASTER_KEY_FILE to the one that was used then."
        )


class BackupRunning(Conflict):
    code = "backup_running"

    def __init__(self) -> None:
        super().__init__("Another backup of this database is being made at this moment. Wait for it, then try again.")
