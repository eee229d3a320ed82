"""Clients: the customers of a tenant, on whose behalf workflows and executions run."""
