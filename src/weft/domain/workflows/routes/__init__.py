"""HTTP of workflows, one module for each resource. `routers` is what the API mounts, in this order."""

from __future__ import annotations

from fastapi import APIRouter

from weft.domain.workflows.routes import definitions, schedules, triggers, versions, workflows

# `definitions` first: its fixed words (`/workflows/check`) must not be read as a workflow's id.
routers: tuple[APIRouter, ...] = (
    definitions.router,
    workflows.router,
    versions.router,
    triggers.router,
    schedules.router,
)
