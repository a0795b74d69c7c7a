"""Learned routing: labels, agents by their descriptions, and models by expected quality and cost.

    reading = read(text)                              # once a request, in bounded time
    LabelModel.predict(reading)                       # likelihoods of the labels it was trained on, or of none
    AgentTable.of(texts, matcher).likely(reading)     # every agent by its description; one table a snapshot
    QualityModel.predict(reading)                     # expected quality and cost of each model

Decisions need numpy and the static word vectors of `ossa.vortex.vectors`; `lab.routing` trains the models. A model file
holds arrays and a card (`archive`).
"""
