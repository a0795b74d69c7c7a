"""Stores in memory: a fake for tests and trials that keeps every promise but durability.

stores = MemoryStores(clock=lambda: now)
stores.go_down()      # every call raises StoreUnavailable
stores.come_back()
"""

from ossa.testing.stores.stores import MemoryStores

__all__ = ["MemoryStores"]
