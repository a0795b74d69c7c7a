"""Routing that learned: labels, agents by their descriptions, and models by expected quality and cost.

    features = read(text)                             # once a request, bounded time
    LabelModel.predict(features)                      # which of the labels it was trained on, or none of them
    AgentTable.of(told, matcher).fits(features)       # every agent by what it says of itself; one table a snapshot
    QualityModel.predict(features)                    # expected quality of each model, calibrated; `choose` weighs cost

To decide needs numpy and the static word vectors of `ossa.vortex.vectors`; to train, `lab.routing`.
Models are files of arrays with a card beside them (`archive`).
"""
