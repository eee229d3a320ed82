"""Encrypted cells: what must be read again by id, and by nobody else.

A cell is `1 | key number (4 bytes) | nonce (12) | ciphertext + tag`, AES-256-GCM-SIV, bound by its associated data
to tenant, table, column and row: moved elsewhere it does not open. The data key is the tenant's own, kept in
`tenant_keys` wrapped (RFC 5649) by the master key, which never enters the database.
"""

from __future__ import annotations

import os
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from sqlalchemy import select

from weft.db.key_tables import TenantKey
from weft.db.keyring import Keyring, SecretsUnreadable
from weft.db.scope import Scope

FORMAT = 1
PURPOSE = "cells"


def _associated(tenant_id: UUID, table: str, column: str, row_id: UUID) -> bytes:
    return f"weft1|{tenant_id}|{table}|{column}|{row_id}".encode()


async def _newest_key(scope: Scope, keyring: Keyring) -> tuple[int, bytes]:
    """The tenant's newest active data key, made now if it has none."""
    query = (
        select(TenantKey)
        .where(TenantKey.tenant_id == scope.tenant_id, TenantKey.purpose == PURPOSE, TenantKey.state == "ACTIVE")
        .order_by(TenantKey.number.desc())
        .limit(1)
    )
    row = await scope.maybe(query)
    if row is None:
        # Two first secrets at once: the tenant's lock makes one of them wait and find the other's key.
        await scope.raw.execute("select pg_advisory_xact_lock(hashtextextended($1, 7))", str(scope.tenant_id))
        row = await scope.maybe(query)
    if row is None:
        wrapped = keyring.wrap(os.urandom(32))
        row = await scope.add(TenantKey(purpose=PURPOSE, number=1, wrapped=wrapped))
    return row.number, keyring.open(scope.tenant_id, row.number, row.wrapped)


async def _key(scope: Scope, keyring: Keyring, number: int) -> bytes:
    known = keyring.get(scope.tenant_id, number)
    if known is not None:
        return known
    row = await scope.one(
        select(TenantKey).where(
            TenantKey.tenant_id == scope.tenant_id, TenantKey.purpose == PURPOSE, TenantKey.number == number
        ),
        missing=SecretsUnreadable(),
    )
    return keyring.open(scope.tenant_id, number, row.wrapped)


async def seal(scope: Scope, table: str, column: str, row_id: UUID, plaintext: bytes) -> bytes:
    """The cell to store in `table.column` of the row `row_id`. The id must be known before: make it first."""
    number, key = await _newest_key(scope, scope.keyring)
    return sealed(number, key, scope.tenant_id, table, column, row_id, plaintext)


async def unseal(scope: Scope, table: str, column: str, row_id: UUID, cell: bytes) -> bytes:
    """What was sealed into that very cell. Raises `SecretsUnreadable` for any other cell or master key."""
    key = await _key(scope, scope.keyring, key_number(cell))
    return opened(key, scope.tenant_id, table, column, row_id, cell)


def sealed(number: int, key: bytes, tenant_id: UUID, table: str, column: str, row_id: UUID, plaintext: bytes) -> bytes:
    """A cell under a data key that is at hand: for whoever moves cells from one tenant to another."""
    nonce = os.urandom(12)
    closed = AESGCMSIV(key).encrypt(nonce, plaintext, _associated(tenant_id, table, column, row_id))
    return bytes([FORMAT]) + number.to_bytes(4, "big") + nonce + closed


def key_number(cell: bytes) -> int:
    """Which of the tenant's data keys a cell is under. Raises `SecretsUnreadable` for what is no cell."""
    if len(cell) < 1 + 4 + 12 + 16 or cell[0] != FORMAT:
        raise SecretsUnreadable
    return int.from_bytes(cell[1:5], "big")


def opened(key: bytes, tenant_id: UUID, table: str, column: str, row_id: UUID, cell: bytes) -> bytes:
    """What `sealed` closed, with the key of `key_number`."""
    try:
        return AESGCMSIV(key).decrypt(cell[5:17], cell[17:], _associated(tenant_id, table, column, row_id))
    except InvalidTag as error:
        raise SecretsUnreadable from error
