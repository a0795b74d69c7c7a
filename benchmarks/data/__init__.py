"""Parts of `benchmarks.data_layer` and `benchmarks.failover`.

servers.py     real servers in a folder of their own
waits.py       latencies and how they are told
journal.py     committed steps, beside the bare driver
cache.py       operations of the shared cache, beside the bare driver
popularity.py  hit rates of the front on a real trace, beside LRU and Belady
events.py      outbox -> Kafka -> consumer at a rate, beside the bare driver
event_roles.py its processes
memories.py    recalls by tier; 100,000 vectors with a tenant's filter, beside an exact search
footprint.py   connections of a whole fleet
"""
