"""Where wrapped data keys lie. Read and written by `weft.db.secrets` only."""

from __future__ import annotations

from sqlalchemy import LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from weft.db.base import SECRET, Base, Identified, Tenanted, Timestamps, marks, of_tenant, one_of


class TenantKey(Identified, Tenanted, Timestamps, Base):
    """A data key of the tenant, wrapped by the master key. `weft.db.secrets` is its only reader."""

    __tablename__ = "tenant_keys"
    __table_args__ = (
        of_tenant(),
        one_of("state", ("ACTIVE", "RETIRED")),
        UniqueConstraint("tenant_id", "purpose", "number"),
        marks(grants="select, insert"),
    )

    purpose: Mapped[str]
    number: Mapped[int]
    wrapped: Mapped[bytes] = mapped_column(LargeBinary, info=SECRET)
    state: Mapped[str] = mapped_column(default="ACTIVE", server_default="ACTIVE")
