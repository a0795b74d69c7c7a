"""Test doubles that ship with the package: stores, models, a fleet and a channel that keep the real ones' promises.

Use them to test agents, tools and extensions without PostgreSQL, Ray or a model. The product itself never imports them.
"""
