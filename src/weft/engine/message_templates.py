"""Fills message templates in, with the guard of this process. Fulfils `weft.core.ports.MessageTemplates`."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from weft.core.actor import system_actor
from weft.core.errors import Exhausted, Unavailable, WeftError
from weft.core.ports import RenderedMessage, TemplateError
from weft.db.database import Database, DatabaseUnavailable
from weft.db.hot import AWAY
from weft.db.scope import enter
from weft.domain.templates import service as templates
from weft.domain.templates.errors import TemplateNotFound
from weft.domain.templates.models import MessageTemplate
from weft.expressions.compile import Template, compile_template
from weft.expressions.guard import Guard

_ESCAPED = ("{% autoescape true %}", "{% endautoescape %}")
"""Around every HTML text: what a customer is called must not become markup in somebody's mail."""


class Templates:
    """One per process."""

    def __init__(self, database: Database, guard: Guard) -> None:
        self._database = database
        self._guard = guard

    async def render(
        self, tenant_id: UUID, name: str, version: int | None, data: Mapping[str, object]
    ) -> RenderedMessage:
        try:
            async with enter(self._database, system_actor(tenant_id), read_only=True) as scope:
                template = await templates.get(scope, name, version)
        except TemplateNotFound as error:
            raise TemplateError("template_missing", error.message) from error
        except AWAY as error:
            raise DatabaseUnavailable from error
        return await fill(self._guard, template, data)


async def fill(guard: Guard, template: MessageTemplate, data: Mapping[str, object]) -> RenderedMessage:
    """Raises `TemplateError` when it does not work out with this data."""
    html = template.html
    texts = [template.subject, template.text]
    if html is not None:
        texts.append(html.join(_ESCAPED) if "{{" in html or "{%" in html else html)
    try:
        compiled: list[Template] = [compile_template(text) for text in texts]
        filled = [str(await guard.value(one, {"data": dict(data)}, tenant=template.tenant_id)) for one in compiled]
    except (Exhausted, Unavailable):
        raise  # not the template's fault: later it will work
    except WeftError as error:
        sentence = f"The message template '{template.name}' (version {template.version}): {error.message}"
        raise TemplateError("template_invalid", sentence) from error
    return RenderedMessage(template.version, filled[0], filled[1], filled[2] if html is not None else None)
