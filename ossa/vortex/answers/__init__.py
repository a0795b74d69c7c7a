"""The answer cache: the same question, or one that asks the same, answered without a model.

scope       what shapes an answer beside the question, as one digest
admission   which answers may be kept
reading     what a question says, by rules and word lists
agreement   the second check's rules
pair_model  the second check's trained part
second_check both
entry       how an answer lies in the index
cache       looking up, keeping, forgetting, sweeping
"""
