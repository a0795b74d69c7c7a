"""The client of a fleet, for notebooks, jobs and other programs. `ossa.connect()` is the way in.

values/       what comes back: frozen, and open to fields of a newer server
calls/        one function a request: builds it and says how to read the answer; no IO
exchange.py   what sync and async share about one exchange: retry or not, which error
client.py     the calls behind a blocking client, async_client.py behind an asyncio one
"""
