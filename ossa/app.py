"""Composition root: settings -> stores -> actors -> Serve apps."""
