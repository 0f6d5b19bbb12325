"""Workers on this machine: started, replaced when they die, shown, stopped."""

import multiprocessing
import multiprocessing.connection
import os
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

from tqdm import tqdm

from experiments.errors import UserError
from experiments.ledger.pulse import Pulse
from experiments.signals import Stop, no_interrupt, passing_on
from experiments.workers.progress import Bars

HALT = 3  # exit code of a worker that said why and is not to be replaced
STILLBORN = 3  # so many in a row that end by an error and claimed nothing: the fault is not chance
SHARE = 0.02  # of one core that looking at the storage may take; the workers need all of them
STOPPING = (
    "stopping: runs save their checkpoint and leave; once more to stop at once, without saving"
)


def run_workers(
    target: Callable[..., None],
    arguments: tuple[Any, ...],
    count: int,
    pulse: Callable[[], Pulse],
    *,
    unit: str = "cells",
) -> int:
    """Run up to `count` processes of `target(*arguments, parent, index)` until nothing is left.

    Nothing is left when no work waits and none runs, here or on another machine: where another
    machine dies meanwhile, its work comes back and is done here.

    Args:
        target: a function of a module. It takes up work until there is none, watches
            `signals.stopping`, and gets this process's id and its slot, 0 to count - 1.
        pulse: how things stand; asked every few seconds, and returns the work of the dead.

    Returns:
        0; 2 if a worker left with HALT; or 128 + the number of the signal that stopped it.

    Raises:
        UserError: workers end at once, again and again.
    """
    crew = Crew(target, arguments, count)
    with Bars(unit) as bars, passing_on(Stop(crew.alive, STOPPING)) as stop:
        try:
            while True:
                began = time.monotonic()
                now = pulse()
                bars.show(now)
                if stop.signal is None:
                    if crew.bury(now):
                        crew.dismiss()
                        return 2
                    crew.hire(now, stop)
                if not crew.alive() and (stop.signal or not (now.waiting or now.running)):
                    break
                crew.wait(max(1.0, (time.monotonic() - began) / SHARE))
        except BaseException:
            crew.dismiss()
            raise
        bars.show(pulse())
    if stop.signal is not None:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 128 + stop.signal
    return 0


class Crew:
    """The worker processes, each in its slot."""

    def __init__(
        self, target: Callable[..., None], arguments: tuple[Any, ...], count: int
    ) -> None:
        self.target, self.arguments = target, arguments
        self.slots: list[BaseProcess | None] = [None] * count
        self.context = multiprocessing.get_context("spawn")
        self.stillborn = 0
        self.begun = 0
        self.at_hire = [0] * count  # `begun` when the slot's process was started

    def alive(self) -> list[BaseProcess]:
        """The processes that run."""
        return [p for p in self.slots if p is not None and p.is_alive()]

    def hire(self, now: Pulse, stop: Stop) -> None:
        """Start a process for all work that waits and that no idle process is about to take.

        A stop request that comes meanwhile is passed on to the one that was being started.
        """
        busy = {run.pid for run in now.running}
        idle = sum(process.pid not in busy for process in self.alive())
        for slot, process in enumerate(self.slots):
            if stop.signal is not None:
                break
            if process is None and idle < now.waiting:
                process = self.context.Process(
                    target=self.target, args=(*self.arguments, os.getpid(), slot)
                )
                with no_interrupt():
                    process.start()
                self.slots[slot], self.at_hire[slot] = process, now.begun
                idle += 1
        if stop.signal is not None:
            self.tell_to_stop()

    def bury(self, now: Pulse) -> bool:
        """Empty the slots of processes that ended; whether one of them left with HALT.

        Raises:
            UserError: STILLBORN in a row ended before any claim, though work waits.
        """
        if now.begun > self.begun:
            self.begun, self.stillborn = now.begun, 0
        ended = [k for k, p in enumerate(self.slots) if p is not None and not p.is_alive()]
        codes, idlers = [], 0
        for slot in ended:
            process, self.slots[slot] = self.slots[slot], None
            code = process.exitcode if process is not None else None
            codes.append(code)
            idlers += code == 0 and now.waiting > 0 and self.at_hire[slot] == now.begun
        died = [code for code in codes if code and code != HALT]
        for code in died:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            tqdm.write(f"a worker died ({how}); its run goes on from its checkpoint", sys.stderr)
        self.stillborn += len(died) + idlers
        if self.stillborn >= STILLBORN:
            raise UserError(
                f"{STILLBORN} workers in a row ended before they took up anything; their errors, "
                "if they told any, are above"
            )
        return HALT in codes

    def wait(self, seconds: float) -> None:
        """Wait, but no longer than until a process ends."""
        sentinels = [process.sentinel for process in self.alive()]
        if sentinels:
            multiprocessing.connection.wait(sentinels, seconds)
        else:
            time.sleep(seconds)

    def dismiss(self) -> None:
        """Let runs save their checkpoint and leave."""
        self.tell_to_stop()
        for process in self.alive():
            process.join()

    def tell_to_stop(self) -> None:
        """Ask every process to stop; one that was asked already does not mind."""
        for process in self.alive():
            process.terminate()
