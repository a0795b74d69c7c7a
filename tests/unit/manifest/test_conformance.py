"""The figures over real manifests, and the program that prints them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import manifests as benchmark

AGENT = "apiVersion: ossa/v0.4\nkind: Agent\nmetadata: {{name: {0}}}\nspec: {{}}\n"


def test_real_manifests_meet_the_targets(tmp_path: Path) -> None:
    data = Path(__file__).parents[4] / "shared" / "ossa"
    if not (data / "manifests").is_dir():
        data = benchmark.default_data()
    if not (data / "manifests").is_dir():
        pytest.skip("the real manifests are not beside this checkout (../shared/ossa)")
    out = tmp_path / "figures.json"
    assert benchmark.main(["--data", str(data), "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["crashes"] == 0
    assert all(reason["problem"] for folder in report["folders"] for reason in folder["rejections"])


def made_up(tmp_path: Path, *, broken: int) -> Path:
    folder = tmp_path / "manifests" / "v0.5.x"
    folder.mkdir(parents=True)
    for number in range(20):
        (folder / f"good-{number}.yaml").write_text(AGENT.format(number))
    for number in range(broken):
        (folder / f"broken-{number}.yaml").write_text("a: [\n")
    (folder / "other.yaml").write_text(
        "apiVersion: ossa/v0.4\nkind: Crew\nmetadata: {name: c}\n---\nkind: Task\na: [\n"
    )
    return tmp_path


def test_a_missed_target_is_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["--data", str(made_up(tmp_path, broken=1)), "--json"]) == 1
    (folder,) = json.loads(capsys.readouterr().out)["folders"]
    assert (folder["agents"], folder["loaded"], folder["rejected"], folder["other_kinds"]) == (21, 20, 2, 1)
    assert folder["kinds"] == {"Crew": 1, "Task": 1}


def test_a_met_target_is_exit_code_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["--data", str(made_up(tmp_path, broken=0))]) == 0
    assert "100.0%" in capsys.readouterr().out


def test_absent_data_is_exit_code_2_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["--data", str(tmp_path)]) == 2
    assert "--data" in capsys.readouterr().err
