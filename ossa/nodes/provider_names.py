"""Names that the head and the provider agree on; apart, for the provider imports Ray."""

HEAD_ID = "head"
"""The head's id for the autoscaler, and `RAY_CLOUD_INSTANCE_ID` of its process."""
