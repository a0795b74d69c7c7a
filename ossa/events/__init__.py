"""Events on their way: from the fact log to consumers and to Kafka, and what becomes of those that fail."""
