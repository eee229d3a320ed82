"""Simulation and backtest over HTTP: nothing is stored or reached outside, and other requests have their turns."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter

from weft.core.actor import Actor
from weft.db.scope import enter
from weft.domain.workflows import service as workflows
from weft.engine.plans import Plan
from weft.engine.process import EngineProcess
from weft.engine.routes import Engine
from weft.engine.simulation import history
from weft.engine.simulation.backtest import Backtest, summary
from weft.engine.simulation.errors import BacktestEmpty
from weft.engine.simulation.play import Limits
from weft.engine.simulation.runs import Simulation, Wanted, compiled
from weft.engine.simulation.schemas import (
    BacktestRequest,
    BacktestResult,
    DefinitionSimulation,
    SimulationRequest,
    SimulationResult,
    VersionSimulation,
)
from weft.engine.simulation.script import read_script
from weft.engine.simulation.service import simulated
from weft.engine.simulation.tenants import definition_of, stored_plans
from weft.http.scope import acting

router = APIRouter(prefix="/workflows", tags=["simulation"])

Simulating = Annotated[Actor, acting("workflows:simulate")]

SECONDS: Final = 10.0
"""What a simulation or a backtest may take in a request."""
LIMITS: Final = Limits(visits=5_000, bytes=8_000_000)
SIDE_BY_SIDE: Final = 2


@router.post("/simulate", response_model=SimulationResult)
async def simulate_definition(engine: Engine, actor: Simulating, asked: DefinitionSimulation) -> dict[str, Any]:
    """Play a definition that need not be stored, on a virtual clock and without any effect."""
    return await _simulated(engine, actor, await asyncio.to_thread(compiled, asked.definition), asked)


@router.post("/{workflow_id}/simulate", response_model=SimulationResult)
async def simulate_workflow(
    engine: Engine, actor: Simulating, workflow_id: UUID, asked: VersionSimulation
) -> dict[str, Any]:
    """Play a version of a workflow, on a virtual clock and without any effect."""
    _, plan = await definition_of(engine.driver, actor, workflow_id, asked.version)
    return await _simulated(engine, actor, plan, asked)


async def _simulated(engine: EngineProcess, actor: Actor, plan: Plan, asked: SimulationRequest) -> dict[str, Any]:
    script = read_script(asked.script)
    wanted = Wanted(asked.runs, asked.seed, asked.inputs, script, asked.now, LIMITS)
    async with engine.simulations.taken(actor.tenant_id):
        simulation = Simulation(
            plan,
            wanted,
            engine.guard,
            plan_of=stored_plans(engine.driver, actor, script),
            tenant_id=actor.tenant_id,
            seconds=SECONDS,
            side_by_side=SIDE_BY_SIDE,
        )
        return await simulated(simulation, engine.guard, assertions=asked.assertions)


@router.post("/{workflow_id}/backtest", response_model=BacktestResult)
async def backtest_workflow(
    engine: Engine, actor: Simulating, workflow_id: UUID, asked: BacktestRequest
) -> dict[str, Any]:
    """Play finished executions, with the answers that they were given, through another version or definition.

    Shows inputs, outputs and errors of past executions to whoever may simulate.
    """
    script = read_script(asked.script)
    plan, name, to = await _target(engine, actor, workflow_id, asked)
    version_id = None
    if asked.from_version is not None:
        _, recorded = await definition_of(engine.driver, actor, workflow_id, asked.from_version)
        version_id = recorded.version_id
    which = history.Which(
        len(asked.executions) or asked.last,
        asked.executions,
        version_id,
        asked.status,
        asked.created_from,
        asked.created_to,
    )
    async with engine.simulations.taken(actor.tenant_id):
        rows = await history.finished(engine.driver, actor, workflow_id, which)
        if not rows:
            raise BacktestEmpty
        backtest = Backtest(plan, engine.guard, script, limits=LIMITS, seconds=SECONDS, side_by_side=SIDE_BY_SIDE)
        compared = await backtest.compared(history.pasts(engine.driver, actor, rows), wanted=len(rows))
        return summary(name, to, compared)


async def _target(
    engine: EngineProcess, actor: Actor, workflow_id: UUID, asked: BacktestRequest
) -> tuple[Plan, str, str]:
    """What the executions are sent through, the workflow's name, and the target's."""
    async with enter(engine.database, actor, read_only=True) as scope:
        name = (await workflows.get(scope, workflow_id)).name
    if asked.definition is not None:
        return await asyncio.to_thread(compiled, asked.definition, name=name), name, "the definition sent"
    number, plan = await definition_of(engine.driver, actor, workflow_id, asked.to_version)
    return plan, name, f"version {number}"
