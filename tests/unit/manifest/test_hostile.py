"""Hostile input costs bounded time and memory and ends in a clear error."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from ossa.contracts.errors import ManifestError
from ossa.manifest import Rejected, load, loads
from ossa.manifest.bounds import MAX_ALIASES, MAX_BYTES, MAX_DEPTH, MAX_DOCUMENTS, MAX_NODES, MAX_TOOLS
from ossa.manifest.readers import PARSERS, read_yaml

BOMB = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
TEXT_BOMB = f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 900)}]\n"
MERGE_BOMB = "a0: &a0 {k: v}\n" + "".join(f"a{n}: &a{n} {{x{n}: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 60))


def refused(text: str | bytes, source: str = "x.yaml") -> str:
    (reading,) = loads(text, source, env={})
    assert isinstance(reading, Rejected), reading
    assert reading.message.startswith("x.")
    assert len(reading.message) < 500
    return reading.message


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "values (aliases written out)"),
        (TEXT_BOMB, "characters (aliases written out)"),
        (MERGE_BOMB, "values (aliases written out)"),
        ("a: &a 1\nb: [" + "*a, " * (MAX_ALIASES + 1) + "]\n", "aliases"),
        ("a: &a [*a]\n", "stands for nothing, or for itself"),
        ("a: &a {b: *a}\n", "stands for nothing, or for itself"),
        ("a: *missing\n", "stands for nothing"),
        ("&a a: 1\n*a : 2\n", "an alias as a key"),
        ("a: " + "[" * 5_000, f"deeper than {MAX_DEPTH}"),
        ("a: " + "{b: " * 5_000, f"deeper than {MAX_DEPTH}"),
        ("- " * 5_000 + "x\n", f"deeper than {MAX_DEPTH}"),
        ("".join(" " * n + "a:\n" for n in range(400)), f"deeper than {MAX_DEPTH}"),
        ("a: [" + "1," * (MAX_NODES + 1) + "]\n", f"more than {MAX_NODES} values"),
        ("---\n1\n" * (MAX_DOCUMENTS + 1), f"more than {MAX_DOCUMENTS} documents"),
        ("a: 1\na: 2\n", "duplicate key 'a'"),
        ("a: {b: {c: 1, c: 1}}\n", "a.b: duplicate key 'c'"),
        ("1: x\n'1': y\n", "duplicate key '1'"),
        ("? [a, b]\n: c\n", "a mapping or list as a key"),
        ("? {a: b}\n: c\n", "a mapping or list as a key"),
        ("<<: 5\n", "no mapping"),
        ("a: .nan\n", "not finite"),
        ("a: -.inf\n", "not finite"),
        ("a: 1e999\n", "not finite"),
        ("a: " + "9" * 30 + "\n", "64 bits"),
        ("a: " + "9" * 200_000 + "\n", "200000 characters"),
        ("a: 0x" + "f" * 20 + "\n", "64 bits"),
        ("a: !!python/object/apply:os.system ['true']\n", "tag"),
        ("a: !!python/name:os.system x\n", "tag"),
        ("a: !custom {b: 1}\n", "tag !custom"),
        ("a: !secret x\n", "tag !secret"),
        ("a: !!binary aGk=\n", "tag"),
        ("a: !!set {b}\n", "tag"),
        ("a: !!int yes\n", "tagged !!int"),
        ('a: "\\0"\n', "NUL"),
        ("a:\n\t- b\n", "not YAML"),
        ("a: b: c\n", "not YAML"),
        ("a: [1, 2\n", "not YAML"),
        ("%TAG ! tag:evil.example,2000:\n--- !x\na: 1\n", "tag"),
        ("a: '\x07'\n", "not YAML"),
    ],
)
def test_it_is_refused_by_either_parser(text: str, said: str, parser: object) -> None:
    with pytest.raises(ManifestError) as caught:
        for _tree in read_yaml(text, "x.yaml", parser):
            pass
    assert said in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "a": 2}', "duplicate key 'a'"),
        ('{"a":' * 5_000, f"deeper than {MAX_DEPTH}"),
        ("[" * 100_000, f"deeper than {MAX_DEPTH}"),
        ("[" + "1," * (MAX_NODES + 1) + "1]", f"more than {MAX_NODES} values"),
        ('{"a": NaN}', "not JSON"),
        ('{"a": Infinity}', "not JSON"),
        ('{"a": 1e999}', "not finite"),
        ('{"a": ' + "9" * 100_000 + "}", "100000 characters"),
        ('{"a": "\\ud800"}', "surrogate"),
        ('{"a": "\\u0000"}', "NUL"),
        ('{"a": "x\ny"}', "not JSON"),
        ('{"a": 1} {"b": 2}', "after the end"),
        ("{'a': 1}", "not JSON"),
        ('{"a": }', "not JSON"),
        ('{"a"', "not JSON"),
        ('{"a', "not JSON"),
        ("", "not JSON"),
    ],
)
def test_it_is_refused_as_json(text: str, said: str) -> None:
    assert said in refused(text, "x.json")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: é".encode("latin-1"), "0xe9 is not UTF-8"),
        ("a: b".encode("utf-16"), "UTF-16"),
        ("a: b".encode("utf-16-be", "strict").join([b"\xfe\xff", b""]), "UTF-16"),
        ("a: b".encode("utf-32"), "UTF-32"),
        ("a: b".encode("utf-16-le"), "NUL"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not UTF-8"),
        (b"ab\n\xff\n", "x.yaml:2: byte 0xff"),
        ("a: \ud800", "not UTF-8"),
        (b"\x00" * 100, "NUL"),
    ],
)
def test_a_wrong_encoding_is_named(content: bytes | str, said: str) -> None:
    assert said in refused(content)


def test_a_byte_order_mark_of_utf_8_does_no_harm() -> None:
    (reading,) = loads("\ufeffapiVersion: ossa/v1\nkind: Agent\nmetadata: {name: a}\nspec: {}\n".encode())
    assert reading.status == "loaded"


def test_windows_line_ends_do_no_harm() -> None:
    (reading,) = loads(b"apiVersion: ossa/v1\r\nkind: Agent\r\nmetadata:\r\n  name: a\r\nspec: {role: x}\r\n")
    assert reading.status == "loaded"


def test_a_large_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    large = tmp_path / "x.yaml"
    large.write_bytes(b"a: b\n" * (10 * MAX_BYTES // 5))
    tracemalloc.start()
    try:
        (reading,) = load(large)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(reading, Rejected)
    assert f"larger than {MAX_BYTES} bytes" in reading.message
    assert peak < 4 * MAX_BYTES


def test_a_bomb_takes_little_memory() -> None:
    tracemalloc.start()
    try:
        refused(BOMB)
        refused(TEXT_BOMB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MAX_BYTES


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ("[{type: mcp, big: " + "x" * 50_000 + ", toolNames: [" + ", ".join(f"t{n}" for n in range(900)) + "]}]", ""),
        ("[{type: mcp, toolNames: [" + ", ".join(f"t{n}" for n in range(MAX_TOOLS + 1)) + "]}]", "more tools"),
        ("[" + "x" * 254 + "]", "longer name"),
    ],
)
def test_a_servers_list_of_tools_does_not_multiply_its_configuration(tools: str, said: str) -> None:
    (reading,) = loads(f"apiVersion: ossa/v1\nkind: Agent\nmetadata: {{name: a}}\nspec: {{tools: {tools}}}\n")
    assert said in str(reading)
    assert (reading.status == "rejected") is bool(said)
    assert len(reading.model_dump_json()) < 300_000


def test_aliases_and_merges_in_bounds_are_written_out() -> None:
    (reading,) = loads(
        "apiVersion: ossa/v1\nkind: Agent\nx: &x {model: m, temperature: 0.5}\n"
        "metadata: {name: a}\nspec:\n  llm:\n    <<: *x\n    temperature: 0.1\n  again: *x\n"
    )
    assert reading.status == "loaded"
    assert reading.spec.document["spec"]["llm"] == {"temperature": 0.1, "model": "m"}
    assert reading.spec.document["spec"]["again"] == {"model": "m", "temperature": 0.5}


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: ossa/v1\nkind: " + "x" * 100_000 + "\n",
        'apiVersion: ossa/v1\nkind: "\\e[31mRed"\n',
        '{"' + "k" * 100_000 + '": {"\\u001b[31m": NaN, "a": 1e999}}',
        '{"' + "k" * 100_000 + '": {"\\u001b[31m": 1e999}}',
        "apiVersion: " + "v" * 100_000 + "\nkind: Agent\n",
        "".join("  " * n + f"{'key' * 15}{n}:\n" for n in range(70)),
    ],
)
def test_an_error_is_short_and_safe_to_print(text: str) -> None:
    (reading,) = loads(text, "x.json" if text.startswith("{") else "x.yaml", env={})
    assert isinstance(reading, Rejected)
    assert len(reading.message) < 600
    assert reading.message.isprintable()


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for path, said in (
        (tmp_path / "pipe.yaml", "not a regular file"),
        (Path(os.devnull), "not a regular file"),
        (tmp_path, "not a regular file"),
        (tmp_path / "absent.yaml", "no such file"),
    ):
        (reading,) = load(path)
        assert isinstance(reading, Rejected)
        assert said in reading.message
