"""Ours and what it is compared with, behind one Protocol."""
