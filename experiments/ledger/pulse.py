"""How far a ledger's cells are: what a supervisor asks every few seconds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Running:
    """A run that some worker is at."""

    key: str  # tells it from every other, also from an earlier attempt
    label: str
    step: int
    steps: int
    pid: int | None  # its worker's process, where that is on this machine


@dataclass(frozen=True)
class Pulse:
    """How things stand at one moment."""

    total: int  # cells, or settings of a search
    done: int
    waiting: int  # what a further worker would find to do
    begun: int  # attempts ever begun: grows with every claim
    running: tuple[Running, ...]
    failures: tuple[str, ...] = ()  # of this command so far, a line each
