"""From material to model files (`ossa.routing.learned.archive`), for `jobs/train_router.py` and the benchmarks.

    forms.py        files in the labels and model-choice forms, as splits
    splitting.py    near-duplicates stand on one side
    labels.py       which label a text has; noise.py, network.py and calibration.py are its parts
    quality.py      how well each model tier would answer, and what that would cost
    agents.py       how much each word of a request tells of the agent it is for

Needs the extra `train` (scikit-learn, scipy); nothing that decides imports it.
"""
