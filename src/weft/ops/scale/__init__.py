"""More than one connection for each, more than one server: pools, the replica, distribution."""
