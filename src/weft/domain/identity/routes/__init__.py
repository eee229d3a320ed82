"""HTTP of identity, one module for each resource. `routers` is what the API mounts."""

from __future__ import annotations

from fastapi import APIRouter

from weft.domain.identity.routes import auth, keys, members, roles, tenant

routers: tuple[APIRouter, ...] = (auth.router, tenant.router, members.router, roles.router, keys.router)
