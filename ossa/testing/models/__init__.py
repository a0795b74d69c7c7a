"""Scripted models: in the process, and as an OpenAI-compatible server."""
