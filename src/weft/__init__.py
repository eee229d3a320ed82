"""weft: self-hosted, multi-tenant workflows for systems, people and AI agents, on PostgreSQL."""

__version__ = "0.1.0"
