"""The JSON Schema of seed files, for editors.

`python -m weft.ops.seeds.reference > docs/reference/seed-file.schema.json`
"""

from __future__ import annotations

import json
import sys
from typing import Any

from weft.ops.seeds.document import SeedFile


def schema() -> dict[str, Any]:
    found = SeedFile.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def reference() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
