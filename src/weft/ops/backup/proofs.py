"""What a restore of a backup found, signed by who made it and kept beside the backup: it survives the database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from weft.core.errors import WeftError
from weft.ops.backup import manifest
from weft.ops.backup.manifest import PROOF
from weft.ops.backup.targets import Target


@dataclass(frozen=True, slots=True)
class Proof:
    """`failure` None: everything agreed."""

    backup: str
    at: datetime
    seconds: float
    tables: int
    rows: int
    weft: str
    master_key: str
    """`opens`, or `not here` where the master key was not at hand to be tried."""
    failure: str | None = None
    agreed_before: datetime | None = None
    """Beside a failure: when a restore last agreed all the same."""

    @property
    def ok(self) -> bool:
        return self.failure is None

    @property
    def agreed_at(self) -> datetime | None:
        """When a restore last agreed, whatever was found wrong since."""
        return self.at if self.ok else self.agreed_before

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {
            "at": self.at.isoformat(),
            "seconds": str(round(self.seconds, 3)),
            "ok": self.ok,
            "agreed_before": self.agreed_before.isoformat() if self.agreed_before else None,
        }


def write_proof(target: Target, proof: Proof, key: Ed25519PrivateKey) -> None:
    target.put(f"{proof.backup}/{PROOF}", [manifest.sign(proof.as_json(), key)])


def read_proof(target: Target, backup: str, signers: Iterable[str]) -> Proof | None:
    """The newest proof; none where there is none that can be believed."""
    name = f"{backup}/{PROOF}"
    try:
        found = manifest.open_signed(name, manifest.small(target, name), signers)
        proof = Proof(
            backup=found["backup"],
            at=manifest.moment(found["at"]),
            seconds=float(found["seconds"]),
            tables=found["tables"],
            rows=found["rows"],
            weft=found["weft"],
            master_key=found["master_key"],
            failure=found["failure"],
            agreed_before=manifest.moment(before) if (before := found.get("agreed_before")) else None,
        )
    except (WeftError, KeyError, TypeError, ValueError):
        return None
    return proof if proof.backup == backup else None
