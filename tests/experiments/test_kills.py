"""A grid whose workers are killed ends as one that is left alone."""

from tests.experiments.kills import kill_often, told


def test_ten_kills_a_third_of_them_in_a_write_lose_nothing_and_double_nothing(
    smoke, tmp_path, record_property
) -> None:
    whole, _ = smoke
    kills, runs = kill_often(whole, tmp_path / "killed", ("none", "bce", "hybrid"), kills=10)
    assert sum(kills.values()) == 10
    assert kills["file"] + kills["ledger"] >= 3
    assert runs == 6
    record_property("counted", told(kills, runs))
