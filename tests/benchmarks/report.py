"""Results as JSON, which has every sample, and as Markdown tables."""

import json
import os
import platform
import sys
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import torch

from experiments.provenance import commit

Result = dict[str, Any]
METHOD = """\
- Every ratio comes from one process. Subjects take turns: one block of calls of each a round,
  every other round in reverse order; {repeats} rounds after a warm-up that also compiles; garbage
  collection off; {threads} threads; float32.
- A call is forward and backward with the gradients dropped before it. A block is as many calls as
  fill 0.3 s, at most 20; its mean is one sample. Ratios are of medians.
- Upstream is the published formula retyped with torch (`tests/upstream/`). "compiled" is
  `torch.compile`, in one graph (`fullgraph=True`) for ours.
- Targets are blobs, 20 % of each image positive; logits are right on most pixels, with noise.
- "saved": bytes of the storages kept for backward (`saved_tensors_hooks`), each counted once and
  the inputs too where they are kept, over the bytes of all predictions and labels.
- Every result is listed, those that miss their target too.
"""


def machine(device: str) -> dict[str, str]:
    """What the figures were measured on and with."""
    lines = _cpu_lines()
    cpu = next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), "")
    gpu = torch.cuda.get_device_name() if device.startswith("cuda") else "none"
    return {
        "cpu": cpu or platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "load": f"{os.getloadavg()[0]:.2f} at the end of the run, 1 minute's mean",
        "device": device,
        "gpu": gpu,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "simd": torch.backends.cpu.get_cpu_capability(),
        "commit": commit(),
        "date": date.today().isoformat(),
    }


def _cpu_lines() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Markdown, the first column to the left and the others to the right."""
    heads = list(head)
    lines = [heads, ["-"] + ["-:"] * (len(heads) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def facts(machine: dict[str, str]) -> str:
    """A list of what the figures were measured on."""
    return "".join(f"- {key}: {value}\n" for key, value in machine.items())


def verdict(met: bool | None) -> str:
    """Of a target; nothing where there is none."""
    return {True: "met", False: "**missed**", None: ""}[met]


def _wanted(row: Result) -> str:
    if row["wanted"] is None:
        return ""
    return f"{'>=' if row['kind'] == 'faster' else '<='} {row['wanted']:g}x"


def _benchmark(found: Result) -> str:
    least = (found["traffic"] or {}).get("times_least", {})
    subjects = [
        [
            name,
            *(f"{1e3 * row[key]:.1f}" for key in ("median_s", "min_s", "max_s")),
            f"{row['saved']:.2f}x",
            f"{row['value']:.6g}",
            *([f"{least[name]:.1f}x"] if least else []),
        ]
        for name, row in found["subjects"].items()
    ]
    head = ["subject", "median ms", "min", "max", "saved", "value"]
    ratios = [
        [
            f"{row['subject']} {'faster than' if row['kind'] == 'faster' else 'in times of'} "
            f"{row['against']}",
            f"{row['ratio']:.2f}x",
            _wanted(row),
            verdict(row["met"]),
            "" if row["values_apart"] is None else f"{row['values_apart']:.0e}",
        ]
        for row in found["ratios"]
    ]
    text = f"## {found['name']}\n\n{found['title']}; {found['size']}.\n\n"
    text += table([*head, *(["least time"] if least else [])], subjects)
    if least:
        text += (
            f"\nLeast time: {found['traffic']['bytes_per_pixel']:g} B a pixel at the speed of a "
            f"copy, {found['traffic']['copy_gb_per_s']:.1f} GB/s read and written: "
            f"{1e3 * found['traffic']['least_s']:.1f} ms.\n"
        )
    return text + "\n" + table(["ratio", "found", "target", "", "values apart"], ratios)


def _memory(rows: list[Result]) -> str:
    cells = [
        [
            row["loss"],
            row["kind"],
            f"{row['saved']:.2f}x",
            f"{row['masked']:.2f}x",
            f"{row['worst']:.2f}x" + (f" (`{row['worst_knob']}`)" if row["worst_knob"] else ""),
            f"<= {row['wanted']:g}x",
            verdict(row["met"]),
        ]
        for row in rows
    ]
    head = ["loss", "kind", "default", "with a mask", "worst other choice", "target", ""]
    return (
        f"## memory\n\nSaved for backward by every registered loss, eager; {rows[0]['size']}. "
        "The target is judged on the default knobs.\n\n" + table(head, cells)
    )


def markdown(result: Result) -> str:
    """All tables, with the machine and the method."""
    about = facts(result["machine"])
    parts = [f"# Speed and memory of the losses\n\n{about}\n{result['method']}"]
    parts += [_benchmark(found) for found in result["benchmarks"]]
    parts += [_memory(result["memory"])] if result["memory"] else []
    return "\n".join(parts)


def complete(result: dict[str, list[Result]], repeats: int, device: str) -> Result:
    """Add the machine and the method to the figures."""
    where = machine(device)
    method = METHOD.format(repeats=repeats, threads=where["threads"])
    return {"machine": where, "repeats": repeats, "method": method, **result}


def save(result: Result, tables: str, out: Path | None) -> None:
    """Print the tables, or write the JSON at ``out`` and the tables beside it as .md."""
    if out is None:
        sys.stdout.write(tables)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    out.with_suffix(".md").write_text(tables, encoding="utf-8")
