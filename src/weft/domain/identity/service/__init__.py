"""Use cases of identity, one module each: `from weft.domain.identity.service import tenants`."""
