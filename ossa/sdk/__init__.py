"""The client of a fleet, for notebooks, jobs and other programs. `ossa.connect()` is the way in.

fleet_calls.py  the calls that both clients have; the groups (`client.tasks`, ...) lie in files of their own
client.py       the blocking client, async_client.py the one for asyncio
blocking.py     how one coroutine serves both
exchange.py     requests, retries and errors of one client
received.py     how values are read from what a fleet sends, also a newer one
"""
