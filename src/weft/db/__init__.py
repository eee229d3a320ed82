"""The kernel: the only way to rows. Tenant isolation, audit and references hold even when our Python is wrong."""
