"""The stores: PostgreSQL, its embedded starter, and a fake that keeps the same promises."""
