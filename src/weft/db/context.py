"""The opening round trip of every transaction: BEGIN and who is acting, in one message.

`SET LOCAL`, never `set_config()`: it ends with the transaction, so a pooled connection (ours or PgBouncer's)
carries nothing over, and a distributed PostgreSQL passes it on (`database.md` section 0.2).
"""

from __future__ import annotations

from weft.core.actor import Actor


def literal(value: str) -> str:
    """A quoted SQL string. The server runs with standard_conforming_strings, so quotes are all there is."""
    return "'" + value.replace("\0", "").replace("'", "''") + "'"


def opening(actor: Actor, *, read_only: bool = False) -> str:
    """`BEGIN` and the context, for the simple protocol."""
    return f"BEGIN{' READ ONLY' if read_only else ''}; {acting(actor, read_only=read_only)}"


def acting(actor: Actor, *, read_only: bool = False) -> str:
    """The context alone: who acts in which tenant until the transaction ends, or until this is said again."""
    parts = [f"SET LOCAL app.tenant_id = '{actor.tenant_id}'"]
    if not read_only:
        parts += [
            f"SET LOCAL app.actor_id = '{actor.id}'",
            f"SET LOCAL app.actor_kind = {literal(actor.kind.value)}",
            f"SET LOCAL app.actor_name = {literal(actor.name[:200])}",
            f"SET LOCAL app.correlation_id = {literal(actor.correlation_id[:200])}",
            f"SET LOCAL app.ip = {literal((actor.ip or '')[:64])}",
            f"SET LOCAL app.user_agent = {literal((actor.user_agent or '')[:300])}",
        ]
    if actor.user_id is not None:
        parts.append(f"SET LOCAL app.user_id = '{actor.user_id}'")
    return "; ".join(parts)
