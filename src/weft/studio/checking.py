"""What weft itself asks of a value that a form changes: the same as its services ask, by the same schemas."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from weft.core.errors import WeftError
from weft.domain.clients.schemas import ClientUpdate
from weft.domain.identity.addresses import normal_email
from weft.domain.identity.schemas import KeyCreate, MemberUpdate, RoleUpdate, TenantUpdate
from weft.domain.secrets.rules import SHORTEST_VALUE
from weft.domain.secrets.schemas import SecretPut
from weft.studio.catalogue import ColumnFacts, Kind

SCHEMAS: Final[Mapping[str, tuple[type[BaseModel], Mapping[str, Any]]]] = {
    "api_keys": (KeyCreate, {"name": "x", "scopes": []}),
    "clients": (ClientUpdate, {}),
    "roles": (RoleUpdate, {}),
    "secrets": (SecretPut, {"value": "x" * SHORTEST_VALUE}),
    "tenant_users": (MemberUpdate, {}),
    "tenants": (TenantUpdate, {}),
}
"""By table: what is asked of its columns, and what else the schema must be given to answer."""

_REWRITTEN: Final[Mapping[tuple[str, str], Callable[[str], str]]] = {("clients", "email"): normal_email}
"""Values that the services write one way."""


def checked(table: str, column: ColumnFacts, value: Any) -> Any:
    """The value as weft would write it. Raises `ValueError` with what is expected.

    JSON comes and goes as text. A column that no schema names is held by its type and by the database.
    """
    schema, others = SCHEMAS.get(table, (None, {}))
    if schema is None or column.name not in schema.model_fields:
        return value
    is_json = column.kind is Kind.json and value is not None
    try:
        found = schema.model_validate({**others, column.name: json.loads(value) if is_json else value})
        rewritten = _REWRITTEN.get((table, column.name))
        if rewritten is not None and value is not None:
            return rewritten(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        within = ".".join(str(part) for part in first["loc"][1:])
        raise ValueError(f"{within}: {first['msg']}." if within else f"{first['msg']}.") from None
    except WeftError as error:
        raise ValueError(error.message) from None
    return value if is_json else getattr(found, column.name)
