"""What lies on the targets for recovery: sealed pieces, each with a signed note of its size and checksum.

A piece is compressed, encrypted for the recipients and written whole; then its note is, signed. What has no note is
not there. So a crash between the two leaves something that is written again, never something that looks whole.

    recovery/<system>/wal/<segment>          and  <segment>.json
    recovery/<system>/wal/<segment>.partial.<position>          named by state.json
    recovery/<system>/base/<id>/base.tar     and  base.json
    recovery/<system>/state.json             how far the archive goes, written again and again
    recovery/<system>/points/<name>.json             restore points that were made with `weft db wal point`
    recovery/<system>/drills/<time>.json

A note says where it lies, and is believed nowhere else: whoever may write here and cannot sign could otherwise put the
note of one segment over that of another.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from weft.core.errors import WeftError
from weft.ops.backup import manifest, sealing
from weft.ops.backup.errors import (
    ArtefactCut,
    ArtefactDamaged,
    ArtefactMissing,
    BackupPlaceUnreachable,
    ManifestDamaged,
)
from weft.ops.backup.sealing import MakersKeys, ReadersKeys, Sum
from weft.ops.backup.targets import Artefact, Target, targets_of
from weft.ops.recovery.plan import Archived, Base, Point
from weft.ops.recovery.segments import Segment, is_history
from weft.settings import Settings

ROOT = "recovery"
NOTE = ".json"
STATE = "state.json"
_PLACE = "written_for"
_CHUNK = 1 << 18
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_LEVEL = 1  # the log of a quiet minute is mostly noughts; of a busy one, half


@dataclass(frozen=True, slots=True)
class Piece:
    """What a note says of a sealed piece."""

    name: str
    bytes: int
    sha256: str
    plain_bytes: int
    plain_sha256: str

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @staticmethod
    def from_json(facts: Mapping[str, Any]) -> Piece:
        return Piece(**{name: facts[name] for name in Piece.__slots__})


@dataclass(frozen=True, slots=True)
class State:
    """How far the archive goes, as the archiver last said."""

    timeline: int
    segment_bytes: int
    position: int
    complete_to: datetime
    written_at: datetime
    partial: Piece | None
    partial_segment: Segment | None

    def as_json(self) -> dict[str, Any]:
        return {
            "timeline": self.timeline,
            "segment_bytes": self.segment_bytes,
            "position": self.position,
            "complete_to": self.complete_to.isoformat(),
            "written_at": self.written_at.isoformat(),
            "partial": self.partial.as_json() if self.partial is not None else None,
            "partial_segment": self.partial_segment.name(self.segment_bytes) if self.partial_segment else None,
        }

    @staticmethod
    def from_json(facts: Mapping[str, Any]) -> State:
        size, segment, partial = facts["segment_bytes"], facts["partial_segment"], facts["partial"]
        return State(
            facts["timeline"],
            size,
            facts["position"],
            datetime.fromisoformat(facts["complete_to"]),
            datetime.fromisoformat(facts["written_at"]),
            Piece.from_json(partial) if partial else None,
            Segment.named(segment, size) if segment else None,
        )


@dataclass(slots=True)
class Vault:
    """One cluster's part of a target."""

    target: Target
    system: str
    makers: MakersKeys | None = field(default=None, repr=False)
    readers: ReadersKeys | None = field(default=None, repr=False)
    signers: frozenset[str] = field(default=frozenset(), repr=False)

    def path(self, name: str) -> str:
        return f"{ROOT}/{self.system}/{name}"

    # -- writing -----------------------------------------------------------------------------------------------

    def seal(self, name: str, chunks: Iterable[bytes]) -> Piece:
        """Compress, encrypt and write what comes; its note is the caller's. Whatever fails leaves nothing."""
        makers = self._makers()
        plain, sealed = Sum(), Sum()
        failed: list[BaseException] = []
        packed = sealing.as_file(_compressed(sealing.summed(_watched(chunks, failed), plain)))
        try:
            self.target.put(self.path(name), sealing.summed(sealing.encrypted(packed, makers.recipients), sealed))
        except WeftError as error:
            raise (failed[0] if failed else error) from error
        return Piece(name, sealed.bytes, sealed.sha256, plain.bytes, plain.sha256)

    def keep(self, name: str, chunks: Iterable[bytes], **facts: Any) -> Piece:
        """Seal and note, with what else is to be known: afterwards it is there."""
        piece = self.seal(name, chunks)
        self.note(name + NOTE, piece.as_json() | facts)
        return piece

    def note(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a signed document, which also says where it lies."""
        signed = manifest.sign({**document, _PLACE: self.path(name)}, self._makers().signing_key)
        self.target.put(self.path(name), [signed])

    def delete(self, names: Iterable[str]) -> None:
        self.target.delete([self.path(name) for name in names])

    # -- reading -----------------------------------------------------------------------------------------------

    def listed(self, under: str = "") -> list[Artefact]:
        """Names without what all of them begin with."""
        begin = self.path("")
        found = self.target.listed(begin + under)
        return [Artefact(one.name.removeprefix(begin), one.bytes, one.modified) for one in found]

    def read(self, name: str) -> dict[str, Any]:
        """A signed document. Raises `ArtefactMissing`, `SignatureWrong`, `SignerUnknown`, `ManifestDamaged`."""
        path = self.path(name)
        document = manifest.open_signed(name, manifest.small(self.target, path), self.signers)
        if (said := document.pop(_PLACE, None)) != path:
            raise ManifestDamaged(name, f"it was written for {said or 'no place in particular'}")
        return document

    def piece(self, name: str) -> Piece:
        return Piece.from_json(self.read(name + NOTE))

    def open_to(self, piece: Piece, sink: IO[bytes]) -> None:
        """Write a piece's plain content; length and checksum are compared at its end. Raises what is wrong with it."""
        readers = self._readers()
        sealed, plain = Sum(), Sum()
        source = sealing.as_file(sealing.summed(self.target.get(self.path(piece.name)), sealed))
        unpacking = _Unpacking(sink, plain, piece.name)
        sealing.decrypt(source, unpacking, readers.identities, name=piece.name, written_for="")  # type: ignore[arg-type]  # it is written to, no more
        while source.read(_CHUNK):  # to the end, so that the sum is that of the whole
            pass
        if sealed.bytes != piece.bytes:
            raise ArtefactCut(piece.name, sealed.bytes, piece.bytes)
        if sealed.sha256 != piece.sha256 or plain.sha256 != piece.plain_sha256:
            raise ArtefactDamaged(piece.name, sealed.sha256, piece.sha256)

    def bases(self, troubles: list[str] | None = None) -> list[Base]:
        """Every base backup that is whole, oldest first.

        One whose note cannot be believed is no base: whoever may write one file here must not be able to take away all
        the others. Why goes to `troubles`.
        """
        found: list[Base] = []
        for one in self.listed("base/"):
            if one.name.endswith("/base.json"):
                with _believing(one.name, troubles if troubles is not None else []):
                    found.append(Base.from_json(self.read(one.name)["base"]))
        return sorted(found, key=lambda base: base.ended_at)

    def state(self, troubles: list[str] | None = None) -> State | None:
        """How far the archive goes. A note that cannot be believed raises or, with `troubles`, is said there."""
        found: State | None = None
        with _believing(STATE, troubles):
            try:
                found = State.from_json(self.read(STATE))
            except ArtefactMissing:
                return None
        return found

    def archived(self, segment_bytes: int, troubles: list[str] | None = None) -> Archived:
        """What there is of the WAL. Notes that cannot be believed raise or, with `troubles`, are said there."""
        shipped: dict[Segment, datetime] = {}
        for one in self.listed("wal/"):
            name = one.name.removeprefix("wal/")
            if name.endswith(NOTE) and (segment := Segment.named(name.removesuffix(NOTE), segment_bytes)) is not None:
                shipped[segment] = one.modified
        for last in _last_ones(shipped):  # with them a moment can end: so what they hold must be known, not guessed
            known, name = None, f"wal/{last.name(segment_bytes)}{NOTE}"
            with _believing(name, troubles):
                known = self.read(name).get("complete_to")
            shipped[last] = datetime.fromisoformat(known) if known else _LONG_AGO
        state = self.state(troubles)
        if state is None:
            return Archived(shipped)
        return Archived(shipped, state.partial_segment, state.complete_to, state.timeline)

    def point(self, name: str) -> Point | None:
        """A restore point that was noted here; there may be others, made without us."""
        try:
            found = self.read(f"points/{name}{NOTE}")
        except ArtefactMissing:
            return None
        at = datetime.fromisoformat(found["at"])
        return Point(found["name"], at, found["timeline"], found["position"])

    def note_point(self, point: Point) -> None:
        facts = {"name": point.name, "at": point.at.isoformat()}
        self.note(f"points/{point.name}{NOTE}", facts | {"timeline": point.timeline, "position": point.position})

    def histories(self) -> list[str]:
        names = [one.name.removeprefix("wal/").removesuffix(NOTE) for one in self.listed("wal/")]
        return sorted({name for name in names if is_history(name)})

    def _makers(self) -> MakersKeys:
        assert self.makers is not None, "opened for writing"  # noqa: S101 - a fact, for the type checker
        return self.makers

    def _readers(self) -> ReadersKeys:
        assert self.readers is not None, "opened for reading"  # noqa: S101 - a fact, for the type checker
        return self.readers


@contextlib.contextmanager
def _believing(name: str, troubles: list[str] | None) -> Iterator[None]:
    """Where a note cannot be believed, say so in `troubles` and go on; without them raise."""
    try:
        yield
    except (BackupPlaceUnreachable, ArtefactMissing):
        raise
    except (WeftError, KeyError, TypeError, ValueError) as error:
        if troubles is None:
            raise
        troubles.append(error.message if isinstance(error, WeftError) else f"{name} lacks what it should say: {error}")


def _last_ones(shipped: Mapping[Segment, datetime]) -> list[Segment]:
    """Segments that none follows: the newest of each timeline, and those before a hole."""
    return [segment for segment in shipped if segment.next() not in shipped]


def writing(settings: Settings, system: str) -> list[Vault]:
    """The vaults of all targets, the first one first. Keys are made at first use."""
    makers = sealing.makers_keys(settings)
    signers = sealing.trusted_signers(settings)
    return [Vault(target, system, makers=makers, signers=signers) for target in targets_of(settings)]


def reading(settings: Settings, target: Target, system: str, identity: Path | None = None) -> Vault:
    """One target's vault, to restore from it. Raises `IdentityMissing` when no key is here."""
    readers = sealing.readers_keys(settings, identity)
    return Vault(target, system, readers=readers, signers=readers.signers)


def looking(settings: Settings, target: Target, system: str, identity: Path | None = None) -> Vault:
    """One target's vault, to see what is there: no secret key is needed."""
    return Vault(target, system, signers=sealing.trusted_signers(settings, identity))


def systems(target: Target) -> list[str]:
    """The clusters that a target holds something of."""
    return sorted({parts[1] for one in target.listed(ROOT + "/") if len(parts := one.name.split("/")) > 2})


def copy_missing(
    first: Vault,
    other: Vault,
    known: set[str],
    say: Callable[[str], None],
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Bring a second target up to date: what it lacks of the first is copied as it is, sealed. How much it was.

    `known` is what the other is known to hold; it is asked once, when that is empty. A note follows its piece at once,
    so what a long catch-up has brought can be used, and is not swept for want of a note; the state comes last.
    """
    if not known:
        known.update(one.name for one in other.listed())
    known.discard(STATE)  # it is written again and again
    copied = 0
    wanted = {one.name for one in first.listed() if one.name not in known}
    for name in sorted(wanted, key=_order):
        if should_stop():
            return copied
        with contextlib.suppress(ArtefactMissing):  # it was replaced meanwhile
            other.target.put(other.path(name), first.target.get(first.path(name)))
            copied += 1
            known.add(name)
    if gone := _superseded(known, first):
        other.delete(gone)
        known.difference_update(gone)
    if copied > 1:
        say(f"{copied - 1} pieces were copied to {other.target.address}")
    return copied


def _order(name: str) -> tuple[bool, str, bool]:
    """The state last, and each note right behind its piece."""
    is_note = name.endswith(NOTE)
    return name == STATE, name.removesuffix(NOTE).removesuffix(".tar"), is_note


def _superseded(known: set[str], first: Vault) -> Sequence[str]:
    partials = {name for name in known if ".partial." in name}
    if not partials:
        return []
    return sorted(partials - {one.name for one in first.listed("wal/")})


def _watched(chunks: Iterable[bytes], failed: list[BaseException]) -> Iterator[bytes]:
    """The encryption wraps what the reading raises: kept here, so that the caller sees its own error."""
    try:
        yield from chunks
    except Exception as error:
        failed.append(error)
        raise


def _compressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)  # 31: as gzip writes it, so that others can read it
    for chunk in chunks:
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()


class _Unpacking:
    """A file to write compressed content to; `sink` gets it plain, a little at a time."""

    def __init__(self, sink: IO[bytes], total: Sum, name: str) -> None:
        self._sink, self._total, self._name = sink, total, name
        self._packer = zlib.decompressobj(31)

    def write(self, data: bytes) -> int:
        rest = bytes(data)
        while rest:
            try:
                plain = self._packer.decompress(rest, _CHUNK)
            except zlib.error as error:
                raise ArtefactDamaged(self._name, str(error), "a compressed file") from error
            self._total.add(plain)
            self._sink.write(plain)
            rest = self._packer.unconsumed_tail
        return len(data)

    def flush(self) -> None:
        """Nothing is held back but what the next piece completes."""
