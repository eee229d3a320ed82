"""The `weft` command. Importing this costs nothing; each group of commands is imported when it is called."""

from __future__ import annotations

import sys


def main() -> int:
    """The console script: runs the command line and hands back the exit code."""
    from weft.cli.command_line import run

    return run(sys.argv[1:])
