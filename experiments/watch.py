"""What a run tells the one who started it, and asks."""


class Stopped(Exception):  # noqa: N818 - no error
    """The run was asked to stop; its checkpoint is on disk and the same command goes on."""


class LostClaim(Exception):  # noqa: N818 - no error
    """The cell was given to another worker while this one could not be heard."""


class Watch:
    """The side of a run that others see; this one tells nobody and never stops a run."""

    def stepped(self, step: int) -> None:
        """`step` optimizer steps are done; called after each, so it must cost nothing."""

    def validated(self, step: int, value: float) -> None:
        """The metric that picks the checkpoint, on the validation split after `step` steps."""

    def stop(self) -> bool:
        """Whether the run is to save its checkpoint and leave; asked after each step."""
        return False

    def before_write(self) -> None:
        """Called before a checkpoint or a result is written.

        Raises:
            LostClaim: the run is another worker's by now and must write nothing.
        """


QUIET = Watch()
