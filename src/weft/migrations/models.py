"""Every room that has tables, in one list: what the schema should be."""

from __future__ import annotations

from sqlalchemy import MetaData

import weft.db.backup_tables
import weft.db.dispatch_tables
import weft.db.key_tables
import weft.db.operation_tables
import weft.db.recovery_tables
import weft.db.run_tables
import weft.domain.audit.models
import weft.domain.clients.models
import weft.domain.events.models
import weft.domain.executions.bulk_models
import weft.domain.executions.models
import weft.domain.identity.models
import weft.domain.limits.models
import weft.domain.retention.models
import weft.domain.secrets.models
import weft.domain.templates.models
import weft.domain.workflows.models  # noqa: F401  imported for the tables they declare
from weft.db.base import Base

METADATA: MetaData = Base.metadata
