"""What lies on a target may have been written by somebody else: what is believed of it, and what one bad note costs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.ops.recovery.conftest import Installation
from tests.ops.recovery.test_restoring import Story, installed, story, tmp_path

from weft.core.clock import utc_now
from weft.ops.backup.errors import BackupPlaceUnreachable, IdentityMissing, ManifestDamaged, SealBroken, SignatureWrong
from weft.ops.backup.targets import Artefact, Folder, targets_of
from weft.ops.connections import connect
from weft.ops.installation import embedded_addresses
from weft.ops.recovery import base, drill, finding, health, overview, restoring
from weft.ops.recovery.errors import BasesNotBelieved, BasesUnreadable, WalUnreadable
from weft.ops.recovery.health import Promise
from weft.ops.recovery.plan import Plan, Reach
from weft.ops.recovery.restoring import Moment
from weft.ops.recovery.segments import Segment
from weft.ops.recovery.vault import Vault
from weft.settings import load_settings

__all__ = ["installed", "story", "tmp_path"]
"""Fixtures that are written elsewhere."""


@contextlib.contextmanager
def instead(vault: Vault, name: str, content: bytes) -> Iterator[None]:
    """Something else under this name, for a while."""
    path = vault.path(name)
    there = [one.name for one in vault.target.listed(path)]
    held = b"".join(vault.target.get(path)) if path in there else None
    vault.target.put(path, [content])
    try:
        yield
    finally:
        vault.target.put(path, [held]) if held is not None else vault.target.delete([path])


def text(vault: Vault, name: str) -> bytes:
    return b"".join(vault.target.get(vault.path(name)))


def spoiled(content: bytes) -> bytes:
    """One letter of the signature is another, and it is still base64."""
    at = content.index(b'"signature": "') + len(b'"signature": "')
    return content[:at] + (b"B" if content[at : at + 1] == b"A" else b"A") + content[at + 1 :]


def test_a_note_is_believed_where_it_was_written_for_and_nowhere_else(story: Story, tmp_path: Path) -> None:
    """Otherwise whoever may write here could take changes back, without a key, and nobody would see it."""
    vault = story.installation.reader()
    segments = sorted(vault.archived(story.full.segment_bytes).shipped)
    first, last = f"wal/{segments[0].name()}.json", f"wal/{segments[-1].name()}.json"
    with (
        instead(vault, last, text(vault, first)),
        pytest.raises(ManifestDamaged, match=f"it was written for .*{first}"),
    ):
        story.restored_marks(Moment(), tmp_path / "data")
    foreign = f"base/{story.full.id}/base.json"
    with (
        instead(vault, foreign, text(vault, f"base/{story.increment.id}/base.json")),
        pytest.raises(ManifestDamaged),
    ):
        vault.read(foreign)
    assert list(tmp_path.iterdir()) == []


def test_bases_of_an_unknown_signer_are_not_called_missing(story: Story, tmp_path: Path) -> None:
    """A new machine without the key file: what it must not hear is that nothing was ever backed up."""
    one = story.installation
    place = targets_of(one.settings)[0].address
    elsewhere = load_settings({"WEFT_HOME": str(tmp_path / "new"), "WEFT_BACKUP_PLACE": place}, directory=tmp_path)
    with pytest.raises(BasesNotBelieved, match="--identity"):
        restoring.planned(finding.to_look(elsewhere), Moment())
    assert "not known" in overview.look(elsewhere).as_text()
    with pytest.raises(IdentityMissing):
        finding.to_look(elsewhere, identity=tmp_path / "no such file")
    known = finding.to_look(elsewhere, identity=one.home.path / "backup_keys" / "identity")
    assert restoring.planned(known, Moment()).base.id == story.increment.id


def test_one_bad_note_of_a_base_takes_away_that_base_only(story: Story, tmp_path: Path) -> None:
    one, vault = story.installation, story.installation.reader()
    content = spoiled(text(vault, f"base/{story.full.id}/base.json"))
    with instead(vault, "base/20200101T000000Z-deadbeef/base.json", content):
        assert [made.id for made in vault.bases()] == [story.full.id, story.increment.id]
        troubles: list[str] = []
        assert restoring.planned(vault, Moment(), troubles=troubles).base.id == story.increment.id
        assert len(troubles) == 1
        assert "20200101T000000Z-deadbeef" in troubles[0]
        assert story.restored_marks(Moment(at=story.before_delete), tmp_path / "data").startswith("a-first,b-after")
        assert any("left aside" in said and "deadbeef" in said for said in one.said)
        assert any("deadbeef" in trouble for trouble in overview.look(one.settings).troubles)
        with pytest.raises(BasesUnreadable, match="Nothing is deleted"):
            base.prune(one.vaults(), one.place, one.settings.wal, utc_now() + timedelta(days=999))
    assert {made.id for made in vault.bases()} == {story.full.id, story.increment.id}


def test_a_state_that_cannot_be_believed_leaves_moments_within_reach_and_latest_not(
    story: Story, tmp_path: Path
) -> None:
    vault = story.installation.reader()
    with instead(vault, "state.json", spoiled(text(vault, "state.json"))):
        with pytest.raises(SignatureWrong):
            restoring.planned(vault, Moment())
        assert story.restored_marks(Moment(point="between"), tmp_path / "data") == "a-first,b-after-full"


def test_a_log_that_ends_too_early_is_not_the_latest(story: Story) -> None:
    last = Segment(1, 9)
    plan = Plan((story.full,), Reach(story.full, last, utc_now(), None))
    size = story.full.segment_bytes
    restoring._require_whole(plan, last.number * size)
    restoring._require_whole(plan, last.number * size - 100)  # the last one holds no whole record yet
    with pytest.raises(WalUnreadable, match=f"{last.name()}.*ends in {Segment(1, 7).name()}"):
        restoring._require_whole(plan, (last.number - 1) * size - 1)


def test_a_drill_that_is_stopped_has_failed(story: Story) -> None:
    one, vault = story.installation, story.installation.reader()
    addresses = embedded_addresses(one.home, one.server.start())
    one.ask("delete from weft.recovery_drills", "select 1")
    with contextlib.ExitStack() as cut:
        for made in vault.bases():
            name = f"base/{made.id}/base.tar"
            cut.enter_context(instead(vault, name, text(vault, name)[: made.sealed_bytes // 2]))
        with pytest.raises(SealBroken):
            drill.point_in_time(one.settings, addresses, patience=0.1, say=one.said.append)
    assert one.ask(
        "select string_agg(ok::text || coalesce(rpo_seconds::text, ' null'), ',') from weft.recovery_drills"
    ) == ("false null")
    seen = asyncio.run(_seen(one))
    promise = Promise(alarm=timedelta(days=1), slot=None, lag_bytes=0)
    assert health.verdicts(seen, promise, utc_now()) == {"proof": "never", "drill": "failed"}


async def _seen(one: Installation) -> health.Seen:
    connection = await connect(embedded_addresses(one.home, one.server.start()).app)
    try:
        return await health.look(connection, one.settings.wal.slot)
    finally:
        await connection.close()


class Away(Folder):
    """A place that does not answer."""

    def listed(self, under: str = "") -> list[Artefact]:
        raise BackupPlaceUnreachable(self.address, "away")


def test_a_place_that_does_not_answer_is_told_and_is_not_one_without_bases(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, away = story.installation.settings, Away(tmp_path / "away")
    there = targets_of(settings)[0]
    monkeypatch.setattr(finding, "targets_of", lambda _: [away, there])
    said: list[str] = []
    assert finding.to_look(settings, say=said.append).target is there
    assert [away.address in one for one in said] == [True]
    monkeypatch.setattr(finding, "targets_of", lambda _: [away])
    seen = overview.look(settings)
    assert seen.bases is None
    assert "there is no base backup" not in seen.as_text()
    assert "not known" in seen.as_text()
