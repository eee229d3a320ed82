"""Statements for a partition with a fault: what it should be is the same for all of them."""

from __future__ import annotations

from collections.abc import Iterator

from weft.db.emit import MAINTENANCE
from weft.db.fingerprint import Facts
from weft.ops.schema.step import OWNER, Change, Place, Step, qualified, quoted, role


def partition(change: Change) -> Iterator[Step]:
    found = change.difference.found
    if found is None or change.table_goes(str(found["table"])):
        return
    name = qualified(found["name"])
    if found["kind"] != "table":
        yield change.by_hand(f"The partition {found['name']} is no plain table: detach it, and look at what is in it.")
        return
    owner = str(change.expected["table", str(found["table"])].get("owner", OWNER))
    if found["owner"] != owner:
        yield change.by_admin(f"alter table {name} owner to {quoted(owner)}")
    yield from _closed(change, found, name)
    if not found["references enforced"]:
        yield change.by_admin(f"alter table {name} enable trigger all", warning="This needs a superuser.")
    for trigger in found["triggers"]:
        yield change.removes(Place.drop_trigger, f"drop trigger {quoted(trigger)} on {name}")
    for trigger in found["silent triggers"]:
        yield change.adds(Place.trigger, f"alter table {name} enable trigger {quoted(trigger)}")
    for constraint in found["constraints"]:
        yield change.removes(Place.drop_constraint, f"alter table {name} drop constraint {quoted(constraint)}")
    if not found["logged"]:
        yield change.adds(
            Place.change_column, f"alter table {name} set logged", narrows=True,
            warning=f"{found['name']} is written anew under a lock.",
        )  # fmt: skip


def _closed(change: Change, found: Facts, name: str) -> Iterator[Step]:
    """Reached directly, a partition shows nothing to anybody but its owner in maintenance."""
    if not found["row security"]:
        yield change.adds(Place.row_security, f"alter table {name} enable row level security")
    if not found["row security forced"]:
        yield change.adds(Place.row_security, f"alter table {name} force row level security")
    if found["grants"]:
        # On the table; PostgreSQL takes the rights on its columns with them.
        holders = ", ".join(role(holder) for holder in found["grants"])
        yield change.removes(Place.revoke, f"revoke all on {name} from {holders}")
    for policy in found["policies"]:
        yield change.removes(Place.drop_policy, f"drop policy {quoted(policy)} on {name}")
    if not found["kept for the owner"]:
        kept = f"using ({MAINTENANCE}) with check ({MAINTENANCE})"
        yield change.adds(Place.policy, f"create policy owner_maint on {name} to {OWNER} {kept}")
