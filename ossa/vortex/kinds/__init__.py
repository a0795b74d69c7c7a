"""The kinds of text: how each is recognised, and how it is cut into pieces."""
