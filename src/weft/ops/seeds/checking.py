"""What can be known of a seed file without a database: so that a mistake is told before anything is made."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

from weft.core.clock import utc_now
from weft.core.errors import Issue, WeftError
from weft.domain.identity import rules as identity
from weft.domain.identity.addresses import email_key, normal_email
from weft.domain.limits import rules as limits
from weft.domain.limits.service.workflows import require_key
from weft.domain.templates import rules as templates
from weft.domain.templates.service import require_readable
from weft.domain.workflows import check
from weft.domain.workflows.document import accept
from weft.domain.workflows.rules import name_key
from weft.domain.workflows.sentences import sentence
from weft.domain.workflows.service import triggers
from weft.domain.workflows.validation import compile_schema
from weft.ops.seeds.document import ExecutionSeed, MemberSeed, TenantSeed, WorkflowSeed
from weft.ops.seeds.reading import Definition, Loaded, Path_, located


def examine(loaded: Loaded, profile: str) -> None:
    """Raise `SeedInvalid` with everything that is wrong, in this file and in the definitions that it names."""
    from weft.engine import registry

    registry.kinds()  # the check of definitions must know them
    _unique(loaded, (), "tenants", "slug", lambda tenant: tenant.slug, loaded.file.tenants)
    for number, tenant in enumerate(loaded.file.tenants):
        _tenant(loaded, tenant, ("tenants", number), profile)
    loaded.require_sound()


def _tenant(loaded: Loaded, tenant: TenantSeed, path: Path_, profile: str) -> None:
    _unique(loaded, path, "roles", "name", lambda role: role.name.casefold(), tenant.roles)
    _unique(loaded, path, "members", "address", lambda member: email_key(member.email), tenant.members)
    _unique(loaded, path, "keys", "name", lambda key: key.name, tenant.keys)
    _unique(loaded, path, "clients", "name", lambda client: client.name, tenant.clients)
    _unique(loaded, path, "secrets", "name", lambda secret: secret.name, tenant.secrets)
    _unique(loaded, path, "templates", "name", lambda template: template.name, tenant.templates)
    _unique(loaded, path, "rate_limits", "target", lambda rate: limits.normal_target(rate.target), tenant.rate_limits)
    _unique(loaded, path, "executions", "key", lambda execution: execution.key, tenant.executions)
    for number, member in enumerate(tenant.members):
        _member(loaded, member, (*path, "members", number), profile)
    for number, role in enumerate(tenant.roles):
        _words(loaded, role.permissions, (*path, "roles", number, "permissions"))
        if identity.builtin(role.name):
            loaded.wrong(f"'{role.name}' is a built-in role. Choose another name.", (*path, "roles", number, "name"))
    for number, key in enumerate(tenant.keys):
        _words(loaded, key.scopes, (*path, "keys", number, "scopes"))
    _texts(loaded, tenant, path)
    _workflows(loaded, tenant, path)


def _unique(
    loaded: Loaded, path: Path_, part: str, word: str, key_of: Callable[[Any], Hashable], things: Iterable[Any]
) -> None:
    seen: dict[Hashable, int] = {}
    for number, thing in enumerate(things):
        first = seen.setdefault(key_of(thing), number)
        if first != number:
            line = loaded.parsed.line((*path, part, first))
            loaded.wrong(f"This {word} is there already, on line {line}. Remove one of them.", (*path, part, number))


def _member(loaded: Loaded, member: MemberSeed, path: Path_, profile: str) -> None:
    try:
        normal_email(member.email)
    except WeftError as error:
        loaded.wrong(error.message, (*path, "email"), error.code)
    if member.permissions != "all":
        _words(loaded, member.permissions, (*path, "permissions"))
    well_known = member.password is not None and member.password.well_known is not None
    if well_known and profile != "development" and not loaded.is_system:
        loaded.wrong(
            f"A well-known password is for the development profile only, not for {profile}. Take it from the "
            "environment or a file, or leave it out: then one is made up.",
            (*path, "password"),
            "password_well_known",
        )


def _words(loaded: Loaded, words: Iterable[str], path: Path_) -> None:
    unknown = identity.unknown(words)
    if unknown:
        listed = ", ".join(sorted(unknown))
        loaded.wrong(f"No such permission: {listed}. `weft role permissions` lists them.", path, "permission_unknown")


def _texts(loaded: Loaded, tenant: TenantSeed, path: Path_) -> None:
    """Templates and targets of rate limits."""
    for number, template in enumerate(tenant.templates):
        where = (*path, "templates", number)
        if not templates.is_name(template.name):
            loaded.wrong("A template's name has letters, digits, points, - and _.", (*where, "name"))
        try:
            require_readable(template)
        except WeftError as error:
            loaded.refused(error, where)
    for number, rate in enumerate(tenant.rate_limits):
        if limits.normal_target(rate.target) is None:
            sentence_ = f"'{rate.target}' is no target: write a host, `*.` and a domain, or `*`."
            loaded.wrong(sentence_, (*path, "rate_limits", number, "target"))


def _workflows(loaded: Loaded, tenant: TenantSeed, path: Path_) -> None:
    seen: dict[str, Definition] = {}
    for number, workflow in enumerate(tenant.workflows):
        where = (*path, "workflows", number)
        definition = loaded.definitions.get(where)
        if definition is not None:
            _definition(loaded, definition)
            if seen.setdefault(name_key(definition.name), definition) is not definition:
                loaded.wrong(f"The workflow '{definition.name}' is there twice. Remove one of them.", where)
        _beside(loaded, workflow, where)
    for number, execution in enumerate(tenant.executions):
        started = seen.get(name_key(execution.workflow))
        if started is not None:
            _input(loaded, execution, started, (*path, "executions", number))


def _definition(loaded: Loaded, definition: Definition) -> None:
    try:
        report = check.check(accept(definition.document))
    except WeftError as error:
        issues: Iterable[Issue] = error.issues or (Issue(error.message, (), error.code),)
    else:
        issues = report.errors
    for issue in issues:
        path = (*definition.prefix, *issue.path)
        loaded.problems.append(located(issue, definition.file, definition.source, path))


def _beside(loaded: Loaded, workflow: WorkflowSeed, path: Path_) -> None:
    """Triggers and limits."""
    _unique(loaded, path, "triggers", "name", lambda trigger: trigger.name, workflow.triggers)
    for number, trigger in enumerate(workflow.triggers):
        try:
            triggers.checked(trigger, utc_now())
        except WeftError as error:
            loaded.refused(error, (*path, "triggers", number))
    wanted = workflow.limits
    if wanted is not None and wanted.key is not None:
        try:
            require_key(wanted.key)
        except WeftError as error:
            loaded.wrong(error.message, (*path, "limits", "key"), error.code)
    if wanted is not None and wanted.key is not None and wanted.concurrent is None:
        loaded.wrong("`key` belongs to a limit: say `concurrent` too.", (*path, "limits"))


def _input(loaded: Loaded, execution: ExecutionSeed, started: Definition, path: Path_) -> None:
    schema = started.document.get("input")
    if not isinstance(schema, dict) or loaded.problems:
        return
    value = execution.input
    if value is None and execution.metadata.get("simulation") is True:
        value = execution.metadata.get("inputData")
    error = next(compile_schema(schema).iter_errors(value), None)
    if error is not None:
        said = f"'{started.name}' does not take this input: {sentence(error)}"
        loaded.wrong(said, (*path, "input", *error.instance_path), "input_invalid")
