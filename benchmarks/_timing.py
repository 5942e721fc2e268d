"""Paired timings in one run, peak memory, and results as JSON with what made them."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def paired(contestants: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each contestant, all of them in turn in every repeat (after one warm-up)."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for repeat in range(repeats + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def median_ratio(seconds: dict[str, list[float]], name: str, base: str) -> float:
    """Median of the ratios within each repeat."""
    pairs = zip(seconds[name], seconds[base], strict=True)
    return statistics.median(a / b for a, b in pairs)


def table(seconds: dict[str, list[float]], base: str) -> list[dict]:
    """One row per contestant: median seconds, and its ratio to the base."""
    return [
        {
            "name": name,
            "median_s": round(statistics.median(values), 5),
            "ratio": round(median_ratio(seconds, name, base), 3),
            "runs_s": [round(v, 5) for v in values],
        }
        for name, values in seconds.items()
    ]


def print_rows(title: str, rows: list[dict], columns: list[str]) -> None:
    """A plain table."""
    print(f"\n{title}")
    widths = [max(len(c), *(len(str(r.get(c, ""))) for r in rows)) for c in columns]
    for cells in [columns, *[[str(r.get(c, "")) for c in columns] for r in rows]]:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)))


def peak_memory_mib() -> float:
    """Largest resident size of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def without_work(arguments: list[str]) -> list[str]:
    """A command line without where the work was done, and that it was gathered afterwards."""
    arguments = [argument for argument in arguments if argument != "--gather"]
    if "--work" not in arguments:
        return arguments
    place = arguments.index("--work")
    return arguments[:place] + arguments[place + 2 :]


def about(command: list[str]) -> dict:
    """What made some results: the command, versions and the machine."""
    import numpy
    import sklearn
    import skorch
    import torch

    return {
        "command": " ".join(without_work(command)),
        "versions": {
            "python": platform.python_version(),
            **{m.__name__: m.__version__ for m in (torch, sklearn, skorch, numpy)},
        },
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "torch_threads": torch.get_num_threads(),
            "cuda": torch.cuda.is_available(),
        },
    }


def plain(frame) -> list[dict]:
    """A frame's rows, as JSON holds them: what is missing is null."""
    return json.loads(frame.to_json(orient="records", double_precision=6))


def write(name: str, results: dict) -> Path:
    """Write results with the command, versions and machine that made them.

    With `--keep` also the commands of the results before, some of which are among these.
    """
    made_by = about(["python", "-m", f"benchmarks.{name}", *sys.argv[1:]])
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    if "--keep" in sys.argv:
        before = json.loads(path.read_text(encoding="utf-8"))
        commands = [*before.get("commands_before", []), before["command"]]
        made_by["commands_before"] = [c for c in commands if c != made_by["command"]]
    path.write_text(json.dumps({**made_by, **results}, indent=1) + "\n")
    print(f"\nwritten: benchmarks/results/{path.name}")
    return path
