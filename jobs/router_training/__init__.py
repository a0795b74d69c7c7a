"""Training of router models: material from the journal and from sets, a search on Ray Tune, and who may be promoted.

material -> search (trials on growing shares) -> one fit on all that is shown -> comparison on what was held back
"""
