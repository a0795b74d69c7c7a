"""The example run tells the truth."""

from __future__ import annotations

import io

import httpx
import pytest
from rich.console import Console

from ossa.cli.examples import Example, ExampleReport, bundled_examples, run_examples
from ossa.contracts.errors import FleetBusy
from ossa.contracts.fleet import POOLS
from ossa.contracts.task import Outcome, TaskStatus
from ossa.manifest import catalogue
from ossa.testing.app import FakeGateway

HELLO = ({"role": "user", "content": "Hello"},)


class Altered(FakeGateway):
    """Chats arrive otherwise than they are in the journal."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if request.url.path != "/v1/chat/completions":
            return response
        content = response.content.replace(b"hello", b"something else")
        headers = [header for header in response.headers.raw if header[0].lower() != b"content-length"]
        return httpx.Response(200, headers=headers, content=content)


def example(**fields: object) -> Example:
    return Example.model_validate({"name": "it", "kind": "chat", "model": "auto", "messages": HELLO, **fields})


def run(fleet: FakeGateway, *examples: Example) -> tuple[ExampleReport, str]:
    out = io.StringIO()
    report = run_examples(
        "http://fleet", "key", Console(file=out, width=200), examples=examples, timeout_s=5, transport=fleet
    )
    return report, out.getvalue()


def test_the_bundled_examples_cover_what_the_fleet_promises() -> None:
    examples = bundled_examples()
    assert {item.kind for item in examples} == {"chat", "stream", "task"}
    assert {item.expect_pool for item in examples} - {None} == set(POOLS)
    assert [item.expect_tool for item in examples if item.expect_tool]


def test_the_bundled_tool_example_names_an_agent_of_the_catalogue_that_has_the_tool() -> None:
    (wanted,) = (item for item in bundled_examples() if item.expect_tool)
    name = wanted.model.removeprefix("agent/")
    # the first of its pool: there is one even in the smallest fleet
    firsts = {specs[0].name: specs[0] for specs in catalogue().values()}
    assert wanted.expect_tool in {tool.name for tool in firsts[name].tools}


@pytest.mark.parametrize("kind", ["chat", "stream", "task"])
def test_a_good_answer_of_each_kind_is_ok_with_its_facts(kind: str) -> None:
    fleet = FakeGateway()
    fleet.say("A fine answer.")
    report, shown = run(fleet, example(kind=kind, model="pool/security"))
    (result,) = report.results
    assert report.ok
    assert (result.pool, result.agent, result.model) == ("security", "security-000", "fake-model")
    assert result.cost_usd > 0
    assert (result.prompt_tokens, result.completion_tokens, result.text) == (7, 3, "A fine answer.")
    assert result.task_id in shown
    assert (result.first_text_s is not None) == (kind == "stream")


def test_an_empty_answer_is_not_ok() -> None:
    fleet = FakeGateway()
    fleet.say("  ")
    report, shown = run(fleet, example())
    assert not report.ok
    assert "it: the answer is empty" in shown


def test_a_tool_counts_only_with_its_result_in_the_journal(fleet: FakeGateway) -> None:
    report, _ = run(fleet, example(expect_tool="calculator"))
    assert report.ok
    report, shown = run(fleet, example(expect_tool="clock"))
    assert not report.ok
    assert "the tool clock gave no result (results came from: calculator)" in shown


def test_another_pool_than_the_one_asked_is_not_ok() -> None:
    fleet = FakeGateway()
    message = {"role": "assistant", "content": "hello"}
    fleet.link.end_with(Outcome(status=TaskStatus.SUCCEEDED, message=message, pool="community"))
    report, shown = run(fleet, example(model="pool/security"))
    assert not report.ok
    assert "pool community answered instead of security" in shown


def test_an_answer_that_differs_from_the_journal_is_not_ok() -> None:
    report, shown = run(Altered(), example())
    assert not report.ok
    assert "not the one in the journal" in shown


def test_a_request_that_fails_is_a_row_and_the_others_still_run() -> None:
    fleet = FakeGateway()
    fleet.fail_next(*(FleetBusy("no free agent", retry_after_s=0.01) for _ in range(3)))
    report, shown = run(fleet, example(name="first"), example(name="second"))
    assert [result.ok for result in report.results] == [False, True]
    assert "first: fleet_busy: no free agent" in shown


def test_the_report_is_never_cut_however_narrow_the_terminal() -> None:
    out = io.StringIO()
    report = run_examples(
        "http://fleet", "key", Console(file=out, width=40), examples=[example()], transport=FakeGateway()
    )
    assert report.results[0].task_id in out.getvalue()
    assert len(out.getvalue().splitlines()) == 2


def test_no_examples_at_all_is_not_ok() -> None:
    assert not ExampleReport(results=()).ok
