"""`weft up` with tiny children, for tests: the API only answers /readyz, the worker only waits.

python -m tests.ops.fake_installation PORT patient|stubborn|failing|refusing [--seed]
"""

from __future__ import annotations

import functools
import os
import sys

from weft.cli import output
from weft.cli.process_log import sayer
from weft.core.errors import WeftError
from weft.ops import children, ports, up
from weft.settings import load_settings

API = """
import http.server, os, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["WEFT_DATABASE_URL"].encode())
    def log_message(self, *_):
        pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.HTTPServer(("127.0.0.1", int(os.environ["WEFT_PORT"])), Handler).serve_forever()
"""

WORKERS = {
    "patient": "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); signal.pause()",
    "stubborn": "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: signal.pause()",
    "failing": "raise SystemExit(1)",
    "refusing": "raise SystemExit(6)",
}


def main() -> int:
    port, kind, seed = sys.argv[1], sys.argv[2], "--seed" in sys.argv
    commands = {"API": [sys.executable, "-c", API], "worker": [sys.executable, "-c", WORKERS[kind]]}
    children.child_commands = lambda: commands
    ports.health = functools.partial(ports.health, timeout=30.0)  # a machine may be busy
    settings = load_settings({**os.environ, "WEFT_PORT": port})
    try:
        up.up(settings, seed=seed, say=sayer("weft.up", "weft", "auto"), ready=_ready)
    except WeftError as error:
        return output.refuse(error)
    return 0


def _ready(ready: up.Ready) -> None:
    sys.stdout.write(ready.as_text("./weft") + "END\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
