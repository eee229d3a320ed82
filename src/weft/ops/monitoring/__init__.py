"""How the database is: facts that are cheap to ask, checks that judge them, and what Prometheus reads of both."""
