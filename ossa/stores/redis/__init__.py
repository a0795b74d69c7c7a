"""Redis, or anything that speaks its protocol: one server, or a cluster. The driver is imported by whoever uses it."""
