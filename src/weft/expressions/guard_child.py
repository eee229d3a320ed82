"""The guard's own processes. Run by path as `python -I -S guard_child.py`, never imported by weft.

The first process, the *forker*, loads the engine once and then only forks: each child begins warm, within some
milliseconds. It is told over a control socket which child to replace, receives the socket of the new one with it,
and answers how the old one ended. When the control socket closes it kills its children and ends.

A *child* answers batches of expressions on its socket, within limits that it cannot raise: memory, processor time,
no new files, no processes, no core dumps. It has an empty environment and no other open file. Whoever finds a way
out of the engine finds an empty room.

Frames: four bytes of length (big endian), then JSON. An answer has one more byte before its JSON, 1 when the child
should be replaced before the next batch; in place of results stands a code when the batch as a whole failed. JSON
and not msgpack, because integers may have more than 64 bits.
"""

from __future__ import annotations

import gc
import importlib
import math
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NoReturn

QUIT = 0xFFFFFFFF
REQUEST = struct.Struct("!I")  # slot, or QUIT
REPORT = struct.Struct("!IIi")  # slot, process id, wait status of the child that was replaced
LENGTH = struct.Struct("!I")
ANSWER = struct.Struct("!IB")

RECYCLE_AFTER = 5_000  # batches: whatever leaks, leaks that long
CPU_MARGIN_SECONDS = 2
GROWN = 120_000 * (1024 if sys.platform == "darwin" else 1)  # kilobytes, on macOS bytes


class Limits:
    """What the parent process decided; given on the command line."""

    def __init__(self, memory: int, answer: int, seconds: float) -> None:
        self.memory = memory
        self.answer = answer
        self.seconds = seconds


class Engine:
    """The evaluation modules, loaded without the rest of weft."""

    def __init__(self, folder: str, directories: Sequence[str]) -> None:
        sys.path.extend(directories)
        for name, places in (("weft", []), ("weft.expressions", [folder])):
            package = ModuleType(name)  # an empty stand-in, so that nothing else is imported on the way
            package.__path__ = places
            sys.modules[name] = package
        sandbox = importlib.import_module("weft.expressions.sandbox")
        views = importlib.import_module("weft.expressions.views")
        json = importlib.import_module("msgspec.json")
        self.encode: Callable[[object], bytes] = json.encode
        self.decode: Callable[[bytes], Any] = json.decode
        self.evaluate: Callable[..., Any] = sandbox.evaluate
        self.view: Callable[[object], Any] = views.view
        self.failure: type[Any] = views.Failure
        self.too_large: str = views.TOO_LARGE
        self.expression: int = sandbox.EXPRESSION
        self.template: int = sandbox.TEMPLATE
        self.environment = sandbox.make_environment()


# --- the forker ----------------------------------------------------------------------------------------------


class Forker:
    def __init__(self, control: socket.socket, engine: Engine, limits: Limits) -> None:
        self._control = control
        self._engine = engine
        self._limits = limits
        self._children: dict[int, int] = {}

    def run(self) -> None:
        self._warm_up()
        try:
            while (request := self._receive()) is not None:
                slot, connection = request
                status = self._end(slot)
                if connection is not None:
                    self._fork(slot, connection)
                    self._control.sendall(REPORT.pack(slot, self._children[slot], status))
        except OSError:
            pass  # the parent is gone, which is what the end of the control socket means too
        finally:
            for slot in list(self._children):
                self._end(slot)

    def _receive(self) -> tuple[int, socket.socket | None] | None:
        message, descriptors, _, _ = socket.recv_fds(self._control, REQUEST.size, 1)
        while 0 < len(message) < REQUEST.size:
            more = self._control.recv(REQUEST.size - len(message))
            if not more:
                return None
            message += more
        if not message:
            return None
        (slot,) = REQUEST.unpack(message)
        if slot == QUIT:
            return None
        return slot, socket.socket(fileno=descriptors[0]) if descriptors else None

    def _end(self, slot: int) -> int:
        pid = self._children.pop(slot, None)
        if pid is None:
            return 0
        os.kill(pid, signal.SIGKILL)  # a zombie keeps its id and its status until the next line
        return os.waitpid(pid, 0)[1]

    def _fork(self, slot: int, connection: socket.socket) -> None:
        pid = os.fork()
        if pid == 0:
            self._become_child(connection)
        connection.close()
        self._children[slot] = pid

    def _become_child(self, connection: socket.socket) -> NoReturn:
        status = 1
        try:
            self._control.close()
            confine(self._limits)
            Child(connection, self._engine, self._limits).run()
            status = 0
        finally:
            os._exit(status)

    def _warm_up(self) -> None:
        """Touch what is imported or allocated at first use, so that children share it."""
        engine = self._engine
        data = {"input": engine.view({"a": 1, "rows": [{"b": 2}], "text": "x"})}
        for form, source in (
            (engine.expression, "input.rows | map(attribute='b') | sum > input.a"),
            (engine.expression, "input.missing.field"),
            (engine.template, "{% for row in input.rows %}{{ row.b | money }}{{ row | tojson }}{% endfor %}"),
        ):
            try:
                engine.evaluate(engine.environment, form, source, data, 1000)
            except engine.failure:
                continue
        gc.collect()
        gc.freeze()


# --- a child -------------------------------------------------------------------------------------------------


def confine(limits: Limits) -> None:
    for name, value in (
        ("RLIMIT_AS", limits.memory),
        ("RLIMIT_CORE", 0),
        ("RLIMIT_FSIZE", 0),
        ("RLIMIT_NPROC", 0),
        ("RLIMIT_NOFILE", 0),
    ):
        try:
            resource.setrlimit(getattr(resource, name), (value, value))
        except (AttributeError, ValueError, OSError):
            continue  # a limit this system does not have; the wall limit of the parent remains


def has_grown() -> bool:
    """Whether this process once held more memory than expressions should need."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > GROWN


class Child:
    def __init__(self, connection: socket.socket, engine: Engine, limits: Limits) -> None:
        self._connection = connection
        self._engine = engine
        self._limits = limits
        self._retire = False

    def run(self) -> None:
        for served in range(1, RECYCLE_AFTER + 1):
            head = self._read(LENGTH.size)
            if head is None:
                return
            body = self._read(LENGTH.unpack(head)[0])
            if body is None:
                return
            self._allow_processor_time()
            answer = self._answer(body)
            signal.setitimer(signal.ITIMER_PROF, 0)
            retire = self._retire or has_grown() or served == RECYCLE_AFTER
            self._connection.sendall(ANSWER.pack(len(answer), retire) + answer)

    def _read(self, size: int) -> bytes | None:
        chunks = bytearray()
        while len(chunks) < size:
            chunk = self._connection.recv(min(size - len(chunks), 1 << 20))
            if not chunk:
                return None
            chunks += chunk
        return bytes(chunks)

    def _allow_processor_time(self) -> None:
        """So many seconds of computing for each batch, and the kernel ends it: waiting for a processor is no fault.

        The limit of the process stands behind it, in whole seconds.
        """
        signal.setitimer(signal.ITIMER_PROF, self._limits.seconds)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        spent = int(usage.ru_utime + usage.ru_stime)
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (spent + math.ceil(self._limits.seconds) + CPU_MARGIN_SECONDS, hard))

    def _answer(self, body: bytes) -> bytes:
        encode = self._engine.encode
        try:
            batch = self._engine.decode(body)
            context, limit = batch["context"], batch["limit"]
            results = [self._evaluate(form, source, context, limit) for form, source in batch["leaves"]]
            answer = encode(results)
        except (MemoryError, RecursionError):
            self._retire = True
            return encode(self._engine.too_large)
        if len(answer) > self._limits.answer:
            return encode(self._engine.too_large)
        return answer

    def _evaluate(self, form: int, source: str, context: dict[str, Any], limit: int) -> list[Any]:
        try:
            roots = {name: self._engine.view(value) for name, value in context.items()}
            return [self._engine.evaluate(self._engine.environment, form, source, roots, limit)]
        except self._engine.failure as failure:
            if failure.panicked and has_grown():
                raise MemoryError from None  # the engine panics when Python has no memory for its answer
            self._retire = self._retire or failure.panicked
            return [None, failure.code, failure.message, failure.start, failure.end]


def main() -> None:
    control, folder, memory, answer, seconds, *directories = sys.argv[1:]
    engine = Engine(folder, directories)
    Forker(socket.socket(fileno=int(control)), engine, Limits(int(memory), int(answer), float(seconds))).run()


if __name__ == "__main__":
    main()
