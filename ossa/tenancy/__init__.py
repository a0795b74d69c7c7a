"""Tenants' keys: minted once, stored as digests, checked on every request."""
