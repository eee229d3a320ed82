"""The page of all settings, from the code: `python -m weft.settings_reference > docs/reference/settings.md`."""

from __future__ import annotations

import sys

from weft.settings import OTHER_VARIABLES, SECTIONS, Settings, describe


def reference() -> str:
    """The page of all settings, `docs/reference/settings.md`."""
    lines = [
        "# Settings",
        "",
        "<!-- Written by `python -m weft.settings_reference`; a test fails when it is out of date. -->",
        "",
        "A setting comes from the environment, else from `.env` in the working directory, else from `weft.toml` there",
        "(or the file that `WEFT_CONFIG` names), else from its default. Secrets (🔒) may stand in a file: add `_FILE`",
        "to the variable, or `_file` to the key. Names that weft does not know are refused. Of `.env` only lines that",
        'begin with `WEFT_` are read, `NAME=value` or `NAME="value"`; nothing in a value is replaced.',
    ]
    section: str | None = ""
    for setting in describe():
        if setting.section != section:
            section = setting.section
            model = SECTIONS[section][0] if section else Settings
            title = f"`[{section}]`" if section else "General"
            sentence = (model.__doc__ or "").strip() if section else "At the top of `weft.toml`."
            lines += ["", f"## {title}", "", sentence, ""]
            lines += ["| variable | key | type | default | meaning |", "|---|---|---|---|---|"]
        lock = " 🔒" if setting.secret else ""
        lines.append(
            f"| `{setting.name}`{lock} | `{setting.key}` | {setting.type} | {setting.default} | {setting.sentence} |"
        )
    lines += ["", "## Other variables", "", "From the environment alone, but for `WEFT_CONFIG`.", ""]
    lines += ["| variable | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {sentence} |" for name, sentence in OTHER_VARIABLES.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
