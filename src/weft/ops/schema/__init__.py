"""Writing the schema: what differs between two of them, the SQL between, and what is wrong with either."""
