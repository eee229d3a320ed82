"""The master key in memory, and the data keys that were unwrapped with it. The database never sees either."""

from __future__ import annotations

from collections import OrderedDict
from uuid import UUID

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap_with_padding, aes_key_wrap_with_padding

from weft.core.errors import Unavailable


class SecretsUnreadable(Unavailable):
    code = "secrets_unreadable"

    def __init__(self) -> None:
        super().__init__(
            "A stored secret cannot be opened with this installation's master key. Set WEFT_MASTER_KEY (or "
            "WEFT_MASTER_KEY_FILE) to the key that this database was made with; nothing was changed."
        )


class Keyring:
    """The master key, and the data keys that were unwrapped with it."""

    def __init__(self, master_key: bytes, *, keep: int = 1024) -> None:
        if len(master_key) != 32:
            raise ValueError("the master key has 32 bytes")
        self._master = master_key
        self._keep = keep
        self._opened: OrderedDict[tuple[UUID, int], bytes] = OrderedDict()

    def wrap(self, key: bytes) -> bytes:
        return aes_key_wrap_with_padding(self._master, key)

    def unwrap(self, wrapped: bytes) -> bytes:
        try:
            return aes_key_unwrap_with_padding(self._master, wrapped)
        except (InvalidUnwrap, ValueError) as error:
            raise SecretsUnreadable from error

    def get(self, tenant_id: UUID, number: int) -> bytes | None:
        return self._opened.get((tenant_id, number))

    def open(self, tenant_id: UUID, number: int, wrapped: bytes) -> bytes:
        """Unwrap a data key and remember it."""
        key = self.unwrap(wrapped)
        self._opened[tenant_id, number] = key
        while len(self._opened) > self._keep:
            self._opened.popitem(last=False)
        return key
