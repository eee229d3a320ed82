"""Simulation and backtest: the interpreter and the turns of the engine, on a virtual clock, with answers from a stage.

Nothing in this package knows a client, a mailer or any other port to the world outside: an errand is answered by a
`Stage` (`stage.py`) and never performed. So a simulation cannot have an effect, whatever a workflow says.
"""
