from __future__ import annotations

from typing import Any

import pytest

from ossa.agent.limits import model_parameters
from ossa.contracts.agent_spec import ModelPreference


def sent(parameters: dict[str, Any], *, cap: int | None = None, **preference: Any) -> dict[str, Any]:
    return model_parameters(ModelPreference(**preference), parameters, functions=(), cap=cap, tools_ran=False)


@pytest.mark.parametrize(
    "name",
    [
        "n_predict",
        "max_new_tokens",
        "max_output_tokens",
        "max_gen_len",
        "min_tokens",
        "ignore_eos",
        "n",
        "best_of",
        "num_predict",
        "options",
        "extra_body",
        "service_tier",
        "made_up_tomorrow",
    ],
)
def test_a_parameter_that_is_not_known_cannot_widen_an_answer(name: str) -> None:
    assert sent({"max_tokens": 4, name: 900}) == {"max_tokens": 4}


def test_an_answer_is_capped_whatever_was_asked_for() -> None:
    assert sent({"n_predict": 900}, cap=10) == {"max_tokens": 10}
    assert sent({"n_predict": 900}, max_tokens=7) == {"max_tokens": 7}
    both = sent({"max_tokens": 900, "max_completion_tokens": 800}, cap=10)
    assert both == {"max_tokens": 10, "max_completion_tokens": 10}


def test_openais_sampling_parameters_reach_the_model() -> None:
    asked = {
        "temperature": 0.1,
        "top_p": 0.9,
        "seed": 7,
        "stop": ["\n"],
        "presence_penalty": 0.5,
        "response_format": {"type": "json_object"},
        "user": "u",
    }
    assert sent(asked) == asked
