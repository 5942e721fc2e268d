"""Every speed that the documentation tells, in one table made from the committed results.

    python -m benchmarks.peers [--run] [--readme]

`--run` runs the benchmarks that measure them first, one after another; each compares its own
contestants within its run. `--readme` writes the table into docs/benchmarks.md, between its marks.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from benchmarks._readme import markdown, put
from benchmarks._timing import RESULTS, print_rows, write

# Parts of our own work, and settings that nobody would choose there.
NO_PEERS = {
    "InfluentialScores.explain",
    "matrix products alone",
    "products alone",
    "torch, bare loop, 1 thread",
}


class Claim(NamedTuple):
    """What is timed, where its rows are, and what is ours there."""

    what: str
    benchmark: str
    where: tuple[str, ...]
    ours: str


CLAIMS = [
    Claim(
        "training, 30-64-64-2, 50,000 rows",
        "training",
        ("results", "30-64-64-2, 50,000 rows", "rows"),
        "TorchMLPClassifier",
    ),
    Claim(
        "training, 784-800-800-10, 60,000 rows",
        "training",
        ("results", "784-800-800-10, 60,000 rows", "rows"),
        "TorchMLPClassifier",
    ),
    Claim("an RBM's epoch, 784-800, 60,000 rows", "rbm_speed", ("time", "2 threads, wall"), "RBM"),
    Claim(
        "influential scores, 784-800-800-10, 256 samples, all outputs",
        "influence_speed",
        ("time", "MLP 784-800-800-10"),
        "nn.influence",
    ),
    Claim(
        "the same, a CNN of 41, 64 and 128 filters",
        "influence_speed",
        ("time", "CNN 41-64-128-625-10"),
        "nn.influence",
    ),
    Claim(
        "a search of 50 networks 30-64-64-2, 20,000 rows",
        "many_networks",
        ("search, simulated, 20,000 rows", "rows"),
        "stack",
    ),
    Claim(
        "the same on breast cancer, 569 rows",
        "many_networks",
        ("search, breast cancer, 569 rows", "rows"),
        "stack",
    ),
    Claim(
        "50 bootstraps of a ranking, 20,000 rows",
        "many_networks",
        ("repeats, simulated, 20,000 rows", "rows"),
        "stack",
    ),
    Claim(
        "the same on breast cancer, 569 rows",
        "many_networks",
        ("repeats, breast cancer, 569 rows", "rows"),
        "stack",
    ),
    Claim(
        "the same on 20,000 encounters (readmission)",
        "many_networks",
        ("repeats, readmission, 20,000 rows", "rows"),
        "stack",
    ),
]


def gather(results: Path = RESULTS) -> list[dict]:
    """One row a claim: seconds here, and every other contestant's time as a multiple of them."""
    rows = []
    for claim in CLAIMS:
        path = results / f"{claim.benchmark}.json"
        if not path.exists():
            continue
        found = json.loads(path.read_text())
        for key in claim.where:
            found = found[key]
        ratios = {row["name"]: row["ratio"] for row in found}
        others = {
            name: ratio / ratios[claim.ours]
            for name, ratio in ratios.items()
            if name not in NO_PEERS | {claim.ours}
        }
        (seconds,) = (row["median_s"] for row in found if row["name"] == claim.ours)
        rows.append(
            {
                "what": claim.what,
                "seconds": seconds,
                "others": {name: round(ratio, 2) for name, ratio in others.items()},
                "benchmark": claim.benchmark,
            }
        )
    return rows


def told(row: dict) -> str:
    """The others, as the table tells them."""
    return "; ".join(f"{name}: {ratio:.3g}" for name, ratio in row["others"].items())


def table(rows: list[dict]) -> str:
    """In Markdown."""
    titles = ("median of paired runs", "here", "beside it, here = 1")
    shown = [(row["what"], f"{row['seconds']:.2g} s", told(row)) for row in rows]
    return markdown([dict(zip(titles, row, strict=True)) for row in shown])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", action="store_true", help="about an hour")
    parser.add_argument("--readme", action="store_true")
    options = parser.parse_args()
    if options.run:
        for name in dict.fromkeys(claim.benchmark for claim in CLAIMS):
            subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
    rows = gather()
    shown = [{**row, "others": told(row)} for row in rows]
    print_rows("Speed", shown, ["what", "seconds", "others"])
    write("peers", {"rows": rows})
    if options.readme:
        put("speed", table(rows))


if __name__ == "__main__":
    main()
