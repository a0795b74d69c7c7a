"""The answer cache: the same question, or one that asks the same, answered without a model.

scope       what shapes an answer beside the question, as one digest
reading     what a question says, by rules and word lists
agreement   the second check: its rules, and the trained model after them
cache       which answers may be kept; looking up, keeping, forgetting, sweeping
"""
