"""Log lines: one a record, readable by people and programs, with the request they are about."""

from __future__ import annotations

import io
import json
import logging
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from ossa.contracts.origin import Origin, acting
from ossa.observability.logs import LineFormatter, OriginFilter, write_log_lines

ORIGIN = Origin(actor="key/k1", tenant="acme", request_id="mine-1", traceparent=f"00-{'a' * 32}-{'b' * 16}-01")


class Log:
    """A logger of this test's own, and what it wrote."""

    def __init__(self) -> None:
        self._out = io.StringIO()
        self.logger = logging.Logger("ossa.test")
        handler = logging.StreamHandler(self._out)
        handler.setFormatter(LineFormatter())
        handler.addFilter(OriginFilter())
        self.logger.addHandler(handler)

    @property
    def text(self) -> str:
        return self._out.getvalue()

    @property
    def fields(self) -> dict[str, str]:
        """The fields of the first line, read as a program would read them."""
        pairs = re.findall(r'([^\s=]+)=("(?:[^"\\]|\\.)*"|\S*)', self.text.split("\n")[0])
        return {name: json.loads(value) if value.startswith('"') else value for name, value in pairs}


@pytest.fixture
def log() -> Log:
    return Log()


def test_a_line_has_time_level_logger_event_and_fields(log: Log) -> None:
    before = datetime.now(UTC)
    log.logger.warning("task_takeover", extra={"task_id": "task_1", "count": 3, "lost": None, "again": True})
    fields = log.fields
    assert list(fields) == ["time", "level", "logger", "event", "task_id", "count", "lost", "again"]
    assert abs((datetime.fromisoformat(fields.pop("time")) - before).total_seconds()) < 60
    assert fields == {
        "level": "warning",
        "logger": "ossa.test",
        "event": "task_takeover",
        "task_id": "task_1",
        "count": "3",
        "lost": "null",
        "again": "true",
    }


def test_a_line_names_request_trace_and_actor_where_they_are_known(log: Log) -> None:
    with acting(ORIGIN):
        log.logger.info("tool_ran")
    assert (log.fields["request_id"], log.fields["traceparent"]) == ("mine-1", ORIGIN.traceparent)
    assert log.fields["actor"] == "key/k1"


def test_a_line_outside_a_request_names_none(log: Log) -> None:
    log.logger.info("tool_ran")
    assert not {"request_id", "traceparent", "actor"} & log.fields.keys()


def test_what_a_record_says_itself_goes_before_the_origin(log: Log) -> None:
    with acting(ORIGIN):
        log.logger.info("tool_ran", extra={"request_id": "another", "actor": "system/test"})
    assert (log.fields["request_id"], log.fields["actor"]) == ("another", "system/test")


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_text_stays_on_its_line_and_can_be_read_back(text: str) -> None:
    log = Log()
    log.logger.info("%s", text, extra={"reason": text})
    assert len(log.text.splitlines()) == 1 or any(char in text for char in "\x85\u2028\u2029")
    assert log.text.count("\n") == 1
    assert (log.fields["event"], log.fields["reason"]) == (text, text)


def test_a_shell_reads_simple_lines_too(log: Log) -> None:
    log.logger.info("agent_lost", extra={"reason": "no answer for 5 s"})
    assert "reason=no answer for 5 s" in shlex.split(log.text)


def test_lists_and_objects_are_json(log: Log) -> None:
    log.logger.info("tools_not_allowed", extra={"tools": ["a", "b"], "by": {"pool": 1}})
    assert json.loads(log.fields["tools"]) == ["a", "b"]
    assert json.loads(log.fields["by"]) == {"pool": 1}


def test_a_traceback_follows_its_line(log: Log) -> None:
    try:
        raise ZeroDivisionError("no")
    except ZeroDivisionError:
        log.logger.exception("turn_crashed", extra={"task_id": "task_1"})
    first, *below = log.text.rstrip().split("\n")
    assert log.fields["exception"] == "ZeroDivisionError"
    assert "task_id=task_1" in first
    assert below[0].startswith("Traceback")
    assert below[-1] == "ZeroDivisionError: no"


@pytest.mark.parametrize("name", ["secret", "password", "channel_token", "authorization", "api_key", "dsn", "Cookie"])
@pytest.mark.parametrize("value", ["hush", ["hush"], {"a": "hush"}, SecretStr("hush")])
def test_a_secret_is_never_shown(log: Log, name: str, value: Any) -> None:
    log.logger.info("connected", extra={name: value, "other": SecretStr("hush")})
    assert "hush" not in log.text
    assert log.fields[name] == "***"


def test_a_count_of_tokens_is_no_secret(log: Log) -> None:
    log.logger.info("answered", extra={"tokens": 12})
    assert log.fields["tokens"] == "12"


def test_a_long_value_is_cut(log: Log) -> None:
    log.logger.info("answered", extra={"reason": "x" * 100_000})
    assert len(log.text) < 3000


# Installing


@contextmanager
def bare_logging() -> Iterator[logging.Logger]:
    """The root logger as a process has it that nobody configured; pytest adds its handlers before each test."""
    root, ours = logging.getLogger(), logging.getLogger("ossa")
    handlers, level = root.handlers[:], ours.level
    root.handlers[:] = []
    try:
        yield root
    finally:
        root.handlers[:] = handlers
        ours.setLevel(level)


def test_a_process_writes_each_line_once_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with bare_logging(), acting(ORIGIN):
        write_log_lines()
        write_log_lines()
        logging.getLogger("ossa.test").info("operation_ended", extra={"operation": "op_1"})
        logging.getLogger("somebody.else").info("chatter")
        logging.getLogger("somebody.else").warning("look")
    (first, second) = capsys.readouterr().err.splitlines()
    assert "event=operation_ended operation=op_1 request_id=mine-1" in first
    assert "logger=somebody.else event=look request_id=mine-1" in second


def test_logging_that_is_configured_already_is_kept_and_gets_the_origin(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    theirs = logging.StreamHandler(out)
    theirs.setFormatter(logging.Formatter("%(message)s of %(request_id)s"))
    with bare_logging() as root, acting(ORIGIN):
        root.addHandler(theirs)
        write_log_lines()
        logging.getLogger("ossa.test").warning("task_takeover")
    assert out.getvalue() == "task_takeover of mine-1\n"
    assert capsys.readouterr().err == ""
