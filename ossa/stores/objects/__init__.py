"""Object storage: a folder, S3 and the like. The driver is imported by whoever uses it, not before."""
