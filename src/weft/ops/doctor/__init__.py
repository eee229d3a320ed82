"""`weft doctor`: everything that an operator would ask, answered in an order in which each answer builds on the last.

It looks and changes nothing: no key is made, no role is mended, no revision applied. The one thing it may do is to
start the embedded server where nothing runs, and to stop it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from weft.core.clock import Clock, utc_now
from weft.ops.doctor import installation, machine
from weft.ops.doctor.answers import Answer, Report, Verdict, fail
from weft.ops.doctor.mail import mail
from weft.ops.home import Home
from weft.settings import Settings, SettingsInvalid, load_settings

__all__ = ["Answer", "Report", "Verdict", "examine"]


def examine(environ: Mapping[str, str], *, clock: Clock = utc_now) -> Report:
    """Answer every question about the installation that this environment describes. Not inside an event loop."""
    answers = machine.programs()
    try:
        settings = load_settings(environ)
    except SettingsInvalid as error:
        advice = "Correct it; `docs/reference/settings.md` lists every setting."
        answers += [fail("settings", issue.message, advice) for issue in error.issues]
        return Report(answers)
    answers += installation.sources(settings, environ)
    home = Home(settings.home)
    answers += machine.home(home, needed=settings.database.url is None or settings.master_key is None)
    answers += machine.step_kinds()
    answers += machine.guard()
    answers += mail(settings)
    answers += machine.embedded_programs(settings)
    if not _may_look_into(answers):
        return Report(answers)
    return Report([*answers, *_running(settings, home, clock)])


def _may_look_into(answers: list[Answer]) -> bool:
    """Whether the home is ours; if not, everything behind it would only repeat that."""
    return not any(answer.topic == "home" and answer.verdict is Verdict.fail for answer in answers)


def _running(settings: Settings, home: Home, clock: Clock) -> list[Answer]:
    """The database, the master key that belongs to it, and the processes."""
    from weft.ops.doctor import backups, database, environment, pooler, recovery, replica  # imports asyncpg

    run = home.running()
    key_answer, master = machine.master_key(settings, home)
    with installation.database(settings, home) as (addresses, answers):
        if addresses is not None:
            listen = settings.database.listen_url
            looking = database.look(
                addresses, listen_dsn=listen, running=run is not None, clock=clock, settings=settings
            )
            answers += asyncio.run(looking)
            answers += asyncio.run(pooler.look(settings.database, addresses.app))
            answers += asyncio.run(replica.look(settings.database, addresses.app))
            if any(answer.topic == "partitions" for answer in answers):  # otherwise there is no schema to ask
                answers += asyncio.run(environment.look(addresses, settings.profile))
                answers += asyncio.run(database.across_tenants(addresses, master))
                answers.append(asyncio.run(backups.look(addresses, settings, clock)))
                answers += asyncio.run(recovery.look(addresses, settings, clock, running=run is not None))
        if key_answer is not None:
            answers.append(key_answer)
        answers.append(installation.api(settings, run))
    return answers
