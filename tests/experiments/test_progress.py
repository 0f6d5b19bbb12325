"""What a supervisor tells where no bar can be drawn: in a log file."""

from experiments.ledger.pulse import Pulse
from experiments.workers import progress
from experiments.workers.progress import Bars


def test_without_a_terminal_each_further_tenth_is_a_line_with_what_is_left(
    monkeypatch, capsys
) -> None:
    clock = iter(range(0, 10_000, 60))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with Bars("cells") as bars:
        for done in (8, 9, 12, 16, 20):  # 8 were done before
            bars.show(Pulse(total=20, done=done, waiting=0, begun=0, running=()))
    assert capsys.readouterr().err.splitlines() == [
        "12 of 20 cells done [03:00 < 06:00]",
        "16 of 20 cells done [04:00 < 02:00]",
        "20 of 20 cells done [05:00 < 00:00]",
    ]


def test_a_failure_is_told_once(capsys) -> None:
    with Bars("cells") as bars:
        for failures in ((), ("failed: a seed 0",), ("failed: a seed 0", "died: a seed 1")):
            bars.show(Pulse(2, 0, 0, 0, (), failures))
    assert capsys.readouterr().err.splitlines() == ["failed: a seed 0", "died: a seed 1"]
