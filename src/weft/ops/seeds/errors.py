"""Every way seeding says no."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from weft.core.errors import Conflict, Forbidden, Invalid, Issue


class SystemUnknown(Invalid):
    code = "system_unknown"

    def __init__(self, system: str, known: Iterable[str]) -> None:
        super().__init__(f"There is no seed for a system '{system}'. These exist: {', '.join(known)}.")


class ProfileRefused(Forbidden):
    code = "profile_refused"


class SeedFileUnreadable(Invalid):
    code = "seed_file_unreadable"

    def __init__(self, path: str, said: str) -> None:
        super().__init__(f"The seed file '{path}' cannot be read ({said}). Name a YAML or JSON file.")


class SeedInvalid(Invalid):
    """Each issue's `extra` holds `file` and `line`."""

    code = "seed_invalid"

    def __init__(self, path: str, issues: Sequence[Issue]) -> None:
        count = f"{len(issues)} things are wrong" if len(issues) != 1 else "Something is wrong"
        super().__init__(f"{count} in '{path}', and nothing was made. Mend it and run it again.", issues=issues)


class PermissionsIncomplete(Conflict):
    code = "permissions_incomplete"

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__(
            f"The permission catalogue lacks {', '.join(missing)}, and only the database's owner may add to it. "
            "Set WEFT_DATABASE_OWNER_URL and seed again; `weft db check` shows what else was changed by hand."
        )
