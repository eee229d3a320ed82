"""Tenants, users, memberships, roles, permissions, sessions and API keys: who may do what, where."""
