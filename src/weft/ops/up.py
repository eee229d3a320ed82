"""`weft up`: everything on this machine, kept running until somebody says stop.

1  take the home (one `weft up` per home), choose ports
2  start the embedded PostgreSQL, or use the operator's
3  roles, migration, preflight               in a fork: its libraries do not stay in memory
4  API and worker as children, restarted when they die; PostgreSQL too; the seed while they start
5  on Ctrl-C or SIGTERM: API and worker drain, PostgreSQL stops last
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from weft.core.clock import utc_now
from weft.core.errors import Unavailable
from weft.ops import children, ports
from weft.ops.forked import in_fork
from weft.ops.home import Home
from weft.ops.installation import Addresses, embedded_addresses, shown
from weft.ops.leftovers import end_leftovers
from weft.ops.postgres import EmbeddedPostgres
from weft.ops.processes import started_at
from weft.ops.supervisor import PAUSES, Child, Signals, Supervisor
from weft.ops.upkeep.schedule import ScheduledCommand
from weft.settings import Settings
from weft.settings_upkeep import MaintainSettings

if TYPE_CHECKING:
    from weft.ops.backup.supervised import ScheduledBackups

SIGN_INS = (("admin@example.com", "admin123"), ("demo@example.com", "demo123"))
"""Made by the seed, in the development profile only."""

_PROBE_SECONDS = 0.05
_PATIENCE_SECONDS = 30.0
_MARGIN_SECONDS = 2.0  # for a child that drained as long as it may, to end by itself

Say = Callable[[str], None]


class DatabaseKeepsFailing(Unavailable):
    code = "database_keeps_failing"

    def __init__(self, log: str) -> None:
        super().__init__(f"The embedded PostgreSQL keeps failing; its log ({log}) says why. Everything was stopped.")


@dataclass(frozen=True, slots=True)
class Ready:
    """What a person, or a program, is told when everything answers."""

    url: str
    profile: str
    home: str
    seconds: float
    sign_ins: tuple[tuple[str, str], ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "docs": f"{self.url}/docs",
            "profile": self.profile,
            "home": self.home,
            "ready_seconds": round(self.seconds, 3),
            "sign_ins": [{"email": email, "password": password} for email, password in self.sign_ins],
        }

    def as_text(self, command: str) -> str:
        lines = [f"\n  weft is ready: {self.url}\n"]
        for index, (email, password) in enumerate(self.sign_ins):
            lines.append(f"    {'Sign in' if index == 0 else '':<9} {email} / {password}")
        lines.append(f"    {'Docs':<9} {self.url}/docs")
        lines.append(f"    {'Next':<9} {command} demo   (in another terminal)")
        lines.append(f"    {'Stop':<9} Ctrl-C   (the data stays in {self.home})")
        return "\n".join(lines) + f"\n\n    ready after {self.seconds:.1f} s\n"


def up(settings: Settings, *, seed: bool, say: Say, ready: Callable[[Ready], None]) -> None:
    """Run until a signal says stop. `say` hears what happens meanwhile, `ready` is called once."""
    began = time.monotonic()
    home = Home(settings.home)
    home.ensure()
    with Signals() as signals:
        lock = home.lock()
        embedded = EmbeddedPostgres(home, lock=lock) if settings.database.url is None else None
        try:
            end_leftovers(home, settings.worker.drain_seconds + _MARGIN_SECONDS, say)
            children.refuse_unready(settings)
            settings = _with_ports(settings, say)
            addresses = _addresses(settings, home, embedded, say)
            settings = _prepare(settings, addresses, say)
            if not signals.stops:
                _Run(settings, home, embedded, addresses, signals, say, ready, began, seed=seed).run()
        finally:
            home.forget_run()
            if embedded is not None:
                embedded.stop()
            lock.release()


class _Run:
    """The time between "prepared" and "stopped"."""

    def __init__(
        self,
        settings: Settings,
        home: Home,
        embedded: EmbeddedPostgres | None,
        addresses: Addresses,
        signals: Signals,
        say: Say,
        ready: Callable[[Ready], None],
        began: float,
        *,
        seed: bool,
    ) -> None:
        self._settings = settings
        self._home = home
        self._embedded = embedded
        self._say = say
        self._ready = ready
        self._began = began
        self._is_ready = False
        self._backups = _scheduled_backups(settings, say)
        self._has_sign_ins = seed and settings.profile == "development"
        self._seed_for: Addresses | None = addresses if self._has_sign_ins else None
        self._complained = began
        self._database_failures = 0
        self._database_started = began
        environment = children.child_environment(settings, addresses)
        self._maintenance = _maintenance(settings, environment, addresses, say)
        self._children = [Child(name, command, environment) for name, command in children.child_commands().items()]
        self._children += children.extra_children(settings, addresses, environment)
        self._supervisor = Supervisor(
            signals,
            self._children,
            self._tend,
            self._changed,
            say,
            drain_seconds=settings.worker.drain_seconds + _MARGIN_SECONDS,
        )

    def run(self) -> None:
        try:
            self._supervisor.run()
        finally:
            self._maintenance.stop()
            if self._backups is not None:
                self._backups.stop()
        self._say("stopped")

    def _tend(self, now: float) -> float:
        self._tend_database(now)
        if self._is_ready:
            pause = min(60.0, self._maintenance.tend())
            return pause if self._backups is None else min(pause, self._backups.tend(utc_now()))
        self._seed_once()
        host = self._settings.api.host
        reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
        status = ports.health(reachable, self._settings.api.port, "/readyz")
        if status == 200:
            self._is_ready = True
            self._announce(time.monotonic() - self._began)
            return 60.0
        if now - self._complained > _PATIENCE_SECONDS:
            self._complained = now
            state = "does not answer yet" if status is None else f"answers {status} to /readyz"
            self._say(f"still waiting: the API {state}")
        return _PROBE_SECONDS

    def _seed_once(self) -> None:
        """After the children were started, which takes them longer than this."""
        addresses, self._seed_for = self._seed_for, None
        if addresses is not None:
            in_fork(lambda: _plant_here(self._settings, addresses))

    def _tend_database(self, now: float) -> None:
        """Start the embedded server again when it died; it recovers by itself what was confirmed."""
        if self._embedded is None or self._embedded.is_running():
            return
        quick = now - self._database_started < 20.0
        self._database_failures = self._database_failures + 1 if quick else 1
        if self._database_failures > len(PAUSES):
            raise DatabaseKeepsFailing(shown(self._home.log))
        self._say("PostgreSQL ended unexpectedly; starting it again")
        self._embedded.start()
        self._database_started = time.monotonic()
        self._changed()

    def _announce(self, seconds: float) -> None:
        settings = self._settings
        sign_ins = SIGN_INS if self._has_sign_ins else ()
        self._ready(Ready(settings.api.address, settings.profile, shown(settings.home), seconds, sign_ins))

    def _changed(self) -> None:
        pids = {child.name: child.pid for child in self._children}
        if self._embedded is not None:
            pids["postgres"] = self._embedded.status().pid
        self._home.write_run(
            {
                "url": self._settings.api.address,
                "profile": self._settings.profile,
                "http_allow": list(self._settings.http.allow),
                "pid": os.getpid(),
                "started": started_at(os.getpid()),
                "pids": pids,
                "starts": {name: started_at(pid) for name, pid in pids.items() if pid is not None},
            }
        )


def _maintenance(
    settings: Settings, environment: Mapping[str, str], addresses: Addresses, say: Say
) -> ScheduledCommand:
    """Maintenance is told what the other children are not: the way to the owner. An embedded server's it finds."""
    if addresses.embedded:
        told = {name: value for name, value in environment.items() if name != "WEFT_DATABASE_URL"}
        return ScheduledCommand(settings.maintain, told, say)
    if addresses.owner is None:
        if settings.maintain.schedule is not None:
            say("warning: no maintenance will be done, because WEFT_DATABASE_OWNER_URL is not set")
        return ScheduledCommand(MaintainSettings(), {}, say)
    return ScheduledCommand(settings.maintain, {**environment, "WEFT_DATABASE_OWNER_URL": addresses.owner}, say)


def _scheduled_backups(settings: Settings, say: Say) -> ScheduledBackups | None:
    """Only with a schedule: without one nothing of it is imported."""
    if settings.backup.schedule is None:
        return None
    from weft.ops.backup.supervised import ScheduledBackups

    return ScheduledBackups(settings, utc_now(), say)


def _with_ports(settings: Settings, say: Say) -> Settings:
    api, worker = settings.api, settings.worker
    port = ports.choose(api.host, api.port)
    metrics = ports.choose_near(api.host, api.metrics_port)
    worker_metrics = ports.choose_near(api.host, worker.metrics_port, besides=metrics)
    for wanted, chosen, name in (
        (api.metrics_port, metrics, "API"),
        (worker.metrics_port, worker_metrics, "worker"),
    ):
        if wanted != chosen:
            say(f"port {wanted} is in use: metrics of the {name} are on {chosen}")
    return settings.model_copy(
        update={
            "api": api.model_copy(update={"port": port, "metrics_port": metrics}),
            "worker": worker.model_copy(update={"metrics_port": worker_metrics}),
        }
    )


def _addresses(settings: Settings, home: Home, embedded: EmbeddedPostgres | None, say: Say) -> Addresses:
    database = settings.database
    if embedded is None:
        assert database.url is not None, "checked by the caller"  # noqa: S101 - for the type checker
        return Addresses(database.direct_url or database.url, database.owner_url, database.admin_url, embedded=False)
    if not home.data.exists():
        say(f"making a PostgreSQL in {shown(home.path)}")
    return embedded_addresses(home, embedded.start())


def _prepare(settings: Settings, addresses: Addresses, say: Say) -> Settings:
    """Make the database ready; hands back settings with the profile that is in force."""
    done = in_fork(lambda: _prepare_here(settings, addresses))
    if done["created"]:
        say(f"made {', '.join(done['created'])}")
    if done["migrated_to"]:
        say(f"migrated the schema to revision {done['migrated_to']}")
    profile = done["profile"]
    if profile != settings.profile:
        say(
            f"warning: this database is kept as {profile}, so this is {profile}, although WEFT_PROFILE is "
            f"{settings.profile}; `weft db environments` says what that means"
        )
        settings = settings.model_copy(update={"profile": profile})
    if settings.profile == "development" and not ports.is_loopback(settings.api.host):
        say("warning: other machines can reach this weft, and everybody knows the development profile's passwords")
    for warning in done["warnings"]:
        say(f"warning: {warning}")
    return settings


def _prepare_here(settings: Settings, addresses: Addresses) -> dict[str, Any]:
    """In the fork: its imports end with it."""
    import asyncio

    from weft.ops.prepare import prepare

    return asyncio.run(prepare(settings, addresses)).as_json()


def _plant_here(settings: Settings, addresses: Addresses) -> None:
    import asyncio

    from weft.ops.prepare import plant

    asyncio.run(plant(settings, addresses))
