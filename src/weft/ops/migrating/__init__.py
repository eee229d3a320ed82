"""Applying migrations: plans, the environments' rules, rollback, validation, data migrations, live processes."""
