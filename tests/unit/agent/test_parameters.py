from __future__ import annotations

import re
from typing import Any

import pytest

from ossa.agent.limits import model_parameters
from ossa.contracts.agent_spec import ModelPreference
from ossa.contracts.errors import InvalidRequest
from ossa.contracts.parameters import refused_parameter


def sent(parameters: dict[str, Any], *, cap: int | None = None, **preference: Any) -> dict[str, Any]:
    return model_parameters(ModelPreference(**preference), parameters, functions=(), cap=cap, tools_ran=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_predict", 900),
        ("max_new_tokens", 900),
        ("max_output_tokens", 900),
        ("max_gen_len", 900),
        ("min_tokens", 900),
        ("ignore_eos", True),
        ("n", 2),
        ("best_of", 2),
        ("num_predict", 900),
        ("options.num_predict", {"num_predict": 900}),
        ("extra_body.max_tokens", {"max_tokens": 900}),
        ("extra_body.google.maxOutputTokens", {"google": {"maxOutputTokens": 900}}),
        ("service_tier", "priority"),
        ("web_search_options", {}),
        ("plugins", [{"id": "web"}]),
        ("models", ["dear"]),
        ("api_base", "http://elsewhere"),
        ("prompt", "instead"),
    ],
)
def test_what_lifts_the_cap_or_costs_more_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(f"{name} does not go to the model: ")) as raised:
        sent({"max_tokens": 4, name.split(".")[0]: value})
    assert raised.value.param == name


def test_the_gateways_own_fields_have_no_place_among_the_parameters() -> None:
    assert (refused_parameter({"stream": True}) or "")[0] == "stream"
    assert sent({"messages": [], "stream": True}) == {}, "an older task may hold them"


@pytest.mark.parametrize(
    "asked",
    [
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"guided_json": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"repetition_penalty": 1.1},
        {"service_tier": "flex"},
        {"n": 1},
        {"ignore_eos": False},
        {"options": {"num_ctx": 4096}},
        {"provider": {"order": ["a"]}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"n_predict": 1}}}},
        {"made_up_tomorrow": [1, {"a": None}]},
    ],
)
def test_what_the_gateway_does_not_know_goes_on_as_it_is(asked: dict[str, Any]) -> None:
    assert sent(asked) == asked


def test_an_answer_is_capped_whatever_was_asked_for() -> None:
    assert sent({}, cap=10) == {"max_tokens": 10}
    both = sent({"max_tokens": 900, "max_completion_tokens": 800}, cap=10)
    assert both == {"max_tokens": 10, "max_completion_tokens": 10}
    assert sent({"max_completion_tokens": 900}, cap=10) == {"max_completion_tokens": 10}


def test_the_manifests_wish_goes_by_the_newer_name_and_a_cap_that_binds_by_the_older() -> None:
    assert sent({}, max_tokens=7) == {"max_completion_tokens": 7}
    assert sent({}, max_tokens=7, cap=9) == {"max_completion_tokens": 7}
    assert sent({}, max_tokens=7, cap=5) == {"max_tokens": 5}
    preference = ModelPreference(max_tokens=7)
    assert model_parameters(preference, {}, functions=(), cap=9, tools_ran=False, firm=True) == {"max_tokens": 7}


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
