# `just` alone lists the recipes.

_default:
    @just --list --unsorted

# Make the environment with every tool.
setup:
    ./weft test --help > /dev/null

# Start everything here, with the development profile.
dev:
    ./weft up

# The fast part: style, types, imports, quick tests.
check:
    ./weft test --fast

# Everything that CI runs.
test:
    ./weft test

# Kill things at random moments: `just chaos 50`.
chaos rounds="50":
    WEFT_CHAOS_ROUNDS={{rounds}} ./weft test tests/chaos -m chaos -s

# The two releases before, on the schema of this one.
previous:
    .venv/bin/python -m tests.compatibility.previous_releases

# Look at the pages in a real Chromium, if one is installed.
browser:
    ./weft test tests/studio -m browser

# Measure: `just bench B1 --quick`.
bench *scenarios:
    ./weft bench {{scenarios}}

# Write the generated reference pages again.
reference:
    .venv/bin/python -m weft.api.reference > docs/reference/errors.md
    .venv/bin/python -m weft.settings_reference > docs/reference/settings.md
    .venv/bin/python -m weft.engine.simulation.reference > docs/reference/simulation.md
    .venv/bin/python -m tests.ops.schema.drifts > docs/reference/drift.md
    .venv/bin/python -m weft.ops.seeds.reference > docs/reference/seed-file.schema.json
    .venv/bin/python -m tests.docs.seed_documents > docs/reference/seed-documents.md
    .venv/bin/python -m weft.ops.schema_docs

# Write the models' SQL into the foundation revision (until the first release), then check it.
freeze:
    .venv/bin/python -m weft.migrations.freeze

# Format everything.
format:
    .venv/bin/ruff check --fix . && .venv/bin/ruff format .

# Lock dependencies, without addresses.
lock:
    uv pip compile -q --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --extra dev pyproject.toml -o requirements-dev.lock
    uv pip compile -q --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -c requirements-dev.lock pyproject.toml -o requirements.lock
