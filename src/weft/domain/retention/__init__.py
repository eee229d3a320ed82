"""Retention: how long a tenant keeps its finished executions, and the archives that hold those that are gone."""
