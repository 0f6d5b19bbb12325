"""How the tests share the machine when several processes run them, and their seed."""

import os

import pytest
from hypothesis import HealthCheck, settings

# The same examples each time, however slow the machine is.
settings.register_profile(
    "repeatable",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")

# Each of these fixtures takes long to make: the tests that use one run in one process.
DEAR = ("smoke", "small_grid", "ranks", "whole_search", "real", "ask", "exported", "official")

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported; runs set their own


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a dear fixture together, of one with parameters those of each."""
    for item in items:
        given = item.callspec.params if hasattr(item, "callspec") else {}
        for name in DEAR:
            if name in getattr(item, "fixturenames", ()):
                group = f"{name}-{given[name]}" if name in given else name
                item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(tryfirst=True)  # before the fixtures, which may draw as well
def pytest_runtest_setup() -> None:
    """Let no test depend on what the tests before it drew."""
    import torch  # only now: see above

    torch.manual_seed(0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests counted: `record_property("counted", text)`."""
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            if name == "counted":
                terminalreporter.write_line(text)
