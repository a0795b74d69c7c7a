"""Redis, or anything that speaks its protocol. The driver is imported by whoever uses `RedisCache`, not before."""
