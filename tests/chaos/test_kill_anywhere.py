"""Whatever process dies, what was accepted ends well, and no effect happens twice."""

from benchmarks.kill_anywhere import Plan, run


def test_nothing_accepted_is_lost_and_no_effect_happens_twice() -> None:
    result = run(Plan(kills=8, seed=20, agents=6, nodes=1, clients=4, pause_s=1.0, settle_s=240))
    assert result["kills"] == 8
    assert result["accepted"] == result["completed"] > 0, result
    assert result["lost"] == 0, result
    assert result["duplicated_effects"] == 0, result
    assert result["missing_effects"] == 0, result
    assert result["open_at_the_end"] == 0, result
