"""`weft db studio`: a browser of all tables, as the application role, in one tenant, under row security."""
