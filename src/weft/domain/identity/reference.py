"""The page of permissions and built-in roles, from `rules.py`.

`python -m weft.domain.identity.reference > docs/reference/permissions.md`
"""

from __future__ import annotations

import sys
from typing import Final

from weft.domain.identity.rules import PERMISSIONS, ROLES, word

_HEAD: Final = """\
# Permissions and roles

<!-- Written by `python -m weft.domain.identity.reference`; a test fails when it is out of date. -->

A permission is a resource and an action, written `resource:action`. The catalogue is the same for all tenants; roles
belong to a tenant. Every tenant begins with the built-in roles below and may make its own (`weft role create`).

What somebody may do is decided anew for each request:

    what the role allows, and what is granted directly, less what is denied directly
    and, for an API key, nothing beyond its scopes

Nobody can give, or take from somebody, a permission that they do not have themselves, and a tenant always keeps at
least one active member with the role `OWNER`.
"""


def reference() -> str:
    """The page, `docs/reference/permissions.md`."""
    lines = [_HEAD, "## Built-in roles", "", "| role | what it is for |", "|---|---|"]
    lines += [f"| `{name}` | {sentence} |" for name, (sentence, _) in ROLES.items()]
    lines += ["", "## Permissions", "", f"| permission | what it allows | {' | '.join(ROLES)} |"]
    lines.append(f"|---|---|{':-:|' * len(ROLES)}")
    for permission, sentence in PERMISSIONS.items():
        marks = " | ".join("✓" if permission in allowed else "" for _, allowed in ROLES.values())
        lines.append(f"| `{word(permission)}` | {sentence} | {marks} |")
    lines += ["", "Which address of the API needs which permission stands in [the overview of the API](api.md)."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
