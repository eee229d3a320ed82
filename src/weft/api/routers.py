"""Which routers the API has, in the order of the documentation. A new room adds its line here."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from weft.api import system
from weft.api.middleware import DirectRoute
from weft.domain.audit import routes as audit
from weft.domain.clients import routes as clients
from weft.domain.dead_jobs import routes as dead_jobs
from weft.domain.events import routes as events
from weft.domain.executions import routes as executions
from weft.domain.identity import routes as identity
from weft.domain.limits import routes as limits
from weft.domain.retention import routes as retention
from weft.domain.secrets import routes as secrets
from weft.domain.templates import routes as templates
from weft.domain.workflows import routes as workflows
from weft.engine import control_routes as control
from weft.engine import dead, usage_routes
from weft.engine import event_routes as live
from weft.engine import routes as engine
from weft.engine.simulation import routes as simulation
from weft.engine.triggers import webhook

ROUTERS: Final[tuple[APIRouter, ...]] = (
    *identity.routers,
    clients.router,
    secrets.router,
    templates.router,
    *workflows.routers,
    executions.router,
    engine.router,
    control.router,
    simulation.router,
    live.router,
    events.router,
    retention.router,
    *limits.routers,
    dead_jobs.router,
    dead.router,
    usage_routes.router,
    audit.router,
    system.router,
)
"""Under `/v1`."""

DIRECT: Final[tuple[DirectRoute, ...]] = (DirectRoute("/hooks/", "token", webhook.receive),)
"""Addresses that are called so often that the search for their route would be felt."""

UNVERSIONED: Final[tuple[APIRouter, ...]] = (webhook.router,)
"""Addresses that others keep for years."""
