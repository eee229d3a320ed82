"""The guide on changing the schema: its model gives its SQL, and its command says what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column
from tests.docs.documents import DOCS, blocks
from tests.docs.test_first_steps import Shell
from tests.ops.schema import test_generate as changes
from tests.ops.schema.conftest import Made, made_by, nursery, owner  # noqa: F401  fixtures

from weft.ops.schema import generate, source

PAGE = DOCS / "guides" / "schema-changes.md"


def written(name: str) -> str:
    (found,) = [block.text for block in blocks(PAGE) if block.words == ("file", name)]
    return found


async def test_the_model_gives_the_sql(owner: Any, made_by: Made) -> None:  # noqa: F811  fixtures
    class Base(MappedAsDataclass, DeclarativeBase, kw_only=True):
        type_annotation_map = {str: Text}  # noqa: RUF012  SQLAlchemy declares it so

    body = "".join(f"    {line}\n" for line in written("model.py").splitlines())
    names = {"Base": Base, "Mapped": Mapped, "mapped_column": mapped_column, "text": text, "__name__": __name__}
    head = "class Part(Base):\n    __tablename__ = 'part'\n    id: Mapped[int] = mapped_column(primary_key=True)\n"
    exec(head + body, names)  # noqa: S102  a page of ours
    metadata = changes.models()
    for column in Base.metadata.tables["part"].columns:
        if column.name != "id":
            changes.clients(metadata).append_column(column._copy())
    (draft,) = await generate.drafts(owner, await made_by(source.models_sql(metadata)), "Clients have a size")
    assert (draft.up.strip(), draft.down.strip()) == (written("up.sql"), written("down.sql"))
    assert [finding.sentence() for finding in draft.findings] == []


def test_the_command_says_what_the_page_says(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    marked = [block for block in blocks(PAGE) if block.kind in ("offline", "says")]
    assert len(marked) == 2
    for block in marked:
        shell.run(block)
