"""How a workflow runs, as pure functions of values: `advance(definition, state, event) -> (state, commands)`.

Standard library only. No clock, no database, no randomness: time and jitter seed arrive in the event, so
`replay` gives the same state today and next year. What a step *does* is somebody else's errand (`engine/`).
"""
