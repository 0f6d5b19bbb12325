"""A grid whose workers are killed ends as one that is left alone."""

from tests.experiments.kills import kill_often


def test_ten_kills_at_random_moments_lose_nothing_and_double_nothing(
    smoke, tmp_path, record_property
) -> None:
    whole, _ = smoke
    counted = kill_often(whole, tmp_path / "killed", ("none", "bce", "hybrid"), kills=10)
    assert counted.startswith("10 kills")
    record_property("counted", counted)
