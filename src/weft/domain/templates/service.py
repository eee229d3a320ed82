"""Message templates: set, looked at, taken away. Each change is a new version."""

from __future__ import annotations

from weft.core.actor import ActorKind
from weft.core.errors import Issue
from weft.db.scope import Scope
from weft.domain.templates import queries, rules
from weft.domain.templates.errors import TemplateInvalid, TemplateNameInvalid, TemplateNotFound
from weft.domain.templates.models import MessageTemplate
from weft.domain.templates.schemas import TemplatePut
from weft.expressions.compile import Template, compile_template
from weft.expressions.errors import ExpressionInvalid
from weft.http.paging import Paged, PageQuery, page

FIELDS = ("subject", "text", "html")


async def listed(scope: Scope, query: PageQuery) -> Paged[MessageTemplate]:
    """The newest version of each."""
    return await page(scope, queries.newest(scope.tenant_id), (MessageTemplate.name, MessageTemplate.id), query)


async def versions(scope: Scope, name: str, query: PageQuery) -> Paged[MessageTemplate]:
    await get(scope, name)
    return await page(
        scope, queries.versions(scope.tenant_id, name), (MessageTemplate.version, MessageTemplate.id), query
    )


async def get(scope: Scope, name: str, version: int | None = None) -> MessageTemplate:
    """The newest version, or the one that is asked for."""
    found = (
        queries.newest_of(scope.tenant_id, name)
        if version is None
        else queries.version_of(scope.tenant_id, name, version)
    )
    return await scope.one(found, missing=TemplateNotFound(name, version))


async def put(scope: Scope, name: str, new: TemplatePut) -> MessageTemplate:
    """A new version, used from now on by every step that names no version. The same text again changes nothing."""
    if not rules.is_name(name):
        raise TemplateNameInvalid
    require_readable(new)
    await scope.raw.execute("select pg_advisory_xact_lock(hashtextextended($1, 9))", f"{scope.tenant_id}:{name}")
    before = await scope.maybe(queries.newest_of(scope.tenant_id, name).with_for_update())
    values = new.model_dump()
    if before is not None and all(getattr(before, field) == value for field, value in values.items()):
        return before
    if before is not None:
        before.is_newest = False
        await scope.flush()  # two newest ones are never there at once
    actor = scope.actor
    made = MessageTemplate(
        name=name,
        version=before.version + 1 if before is not None else 1,
        created_by=None if actor.kind is ActorKind.system else actor.user_id or actor.id,
        **values,
    )
    return await scope.add(made)


async def delete(scope: Scope, name: str) -> None:
    """Take the template away with all its versions. Steps that name it fail from now on (`template_missing`)."""
    await get(scope, name)
    await scope.session.execute(queries.delete_all(scope.tenant_id, name))


def require_readable(new: TemplatePut) -> None:
    """Raises `TemplateInvalid` with every fault of the texts."""
    issues: list[Issue] = []
    for field in FIELDS:
        text = getattr(new, field)
        if text is None:
            continue
        try:
            compiled = compile_template(text, (field,))
        except ExpressionInvalid as refused:
            issues += refused.issues
            continue
        issues += _foreign(compiled, field)
    if issues:
        raise TemplateInvalid(issues)


def _foreign(compiled: Template, field: str) -> list[Issue]:
    return [
        Issue(
            f"`{root}` is not there: a template reads only `{rules.ROOT}`, which the step gives it.",
            (field,),
            "reference_unknown",
        )
        for root in compiled.roots
        if root != rules.ROOT
    ]
