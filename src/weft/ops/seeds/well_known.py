"""The sign-ins that everybody knows: those of the systems' seed files, whose passwords stand in the documentation."""

from __future__ import annotations

from weft.ops.seeds.reading import load
from weft.ops.seeds.systems import SYSTEMS


def sign_ins() -> list[tuple[str, str]]:
    """Every address with its password, each once."""
    paths = [path for system in SYSTEMS.values() if (path := system.path()) is not None]
    members = [
        member for path in paths for tenant in load(path, is_system=True).file.tenants for member in tenant.members
    ]
    found = [(m.email, m.password.well_known) for m in members if m.password is not None and m.password.well_known]
    return list(dict.fromkeys(found))
