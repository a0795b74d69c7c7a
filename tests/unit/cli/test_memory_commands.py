"""`ossa memory` over a fleet in memory."""

from __future__ import annotations

from typing import Any


def test_a_memory_is_made_found_and_forgotten_with_a_proof(run: Any, run_json: Any) -> None:
    made = run_json("memory", "remember", "Anna prefers e-mail", "--subject", "anna", "--fact", "floor=3", "--id", "m1")
    assert (made["id"], made["subject"], made["facts"]) == ("m1", "anna", {"floor": 3})
    assert run("memory", "recall", "--id", "m1").stdout.strip() == "Anna prefers e-mail"
    assert "m1" in run("memory", "recall", "prefers what").stdout
    assert run_json("memory", "recall", "--fact", "floor=4") == []
    proof = run_json("memory", "forget", "--subject", "anna")
    assert proof["complete"] and proof["items"] == 1
    assert {place["tier"]: place["left"] for place in proof["places"]} == dict.fromkeys(
        ("catalogue", "hot", "warm", "cold"), 0
    )
    run("memory", "recall", "--id", "m1", expect=1)


def test_what_is_forgotten_is_said_exactly(run: Any) -> None:
    run("memory", "forget", expect=2)
    run("memory", "forget", "m1", "--everything", expect=2)


def test_a_grant_is_given_listed_and_taken_back(run: Any, run_json: Any) -> None:
    assert run_json("memory", "grant", "research", "--kind", "preference")["kinds"] == ["preference"]
    assert [one["to"] for one in run_json("memory", "grant")] == ["research"]
    run("memory", "grant", "research", "--revoke")
    assert run_json("memory", "grant") == []
    run("memory", "grant", "--revoke", expect=2)
