"""Runs of a paper's experiments, a file for each that is finished: none is lost or repeated.

A paper's module has

- `jobs(settings)`: the configurations, dicts of plain values, in the order of the results;
- `run(job, settings)`: what came out of one, as JSON can hold it, the same in every run of the
  same job (no times), computed on one thread;
- `tables(results, settings)`: from all results, each the job and what came of it in one dict,
  DataFrames by name;
- `QUICK` and `FULL`: settings, dicts of plain values, with the number of `seeds` among them;
- `VERDICTS`: functions from the tables to a :class:`Verdict` each, or to None where the tables do
  not hold what it is about;
- `figures(tables, folder)`: which draws from the tables alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed, parallel_config
from scipy import stats
from tqdm.auto import tqdm

from benchmarks._timing import RESULTS

OUTCOMES = ("holds", "holds partly", "does not hold", "not testable here")


@dataclass(frozen=True)
class Verdict:
    """A published figure beside ours.

    Attributes
    ----------
    claim : str
        What is published, and where in the paper.
    published, ours : str
        The figures, ours with a 95 % interval.
    seeds : int
    outcome : {"holds", "holds partly", "does not hold", "not testable here"}
    why : str
        In a line.
    """

    claim: str
    published: str
    ours: str
    seeds: int
    outcome: str
    why: str

    def __post_init__(self):
        if self.outcome not in OUTCOMES:
            raise ValueError(f"outcome={self.outcome!r} must be one of {OUTCOMES}")

    def __str__(self):
        return (
            f"{self.outcome}: {self.claim}\n  published: {self.published}\n"
            f"  ours ({self.seeds} seeds): {self.ours}\n  why: {self.why}"
        )


# --- one job ------------------------------------------------------------------------------------


def file_of(job: dict, work: Path) -> Path:
    """File of a finished job: readable, and different for different jobs."""
    text = json.dumps(job, sort_keys=True)
    name = re.sub(r"[^\w.-]+", "-", "_".join(str(value) for value in job.values()))[:80]
    return work / f"{name}_{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"


def finished(job: dict, settings: dict, work: Path) -> dict | None:
    """What came of a job, if it is there and was made with these settings."""
    try:
        part = json.loads(file_of(job, work).read_text())
    except (FileNotFoundError, json.JSONDecodeError):  # the latter after a loss of power
        return None
    return part if part["settings"] == settings_of_job(settings) else None


def settings_of_job(settings: dict) -> dict:
    """Settings that change what comes of a job, as a file gives them back.

    Not how many seeds there are: `seeds`, and all that ends with it.
    """
    kept = {name: value for name, value in settings.items() if not name.endswith("seeds")}
    return json.loads(json.dumps(kept))


def run_job(paper, job: dict, settings: dict, work: Path) -> dict:
    """Run a job and keep what comes of it, whole or not at all."""
    torch.set_num_threads(1)
    start = time.perf_counter()
    result = paper.run(job, settings)
    part = {
        "job": job,
        "settings": settings_of_job(settings),
        "seconds": round(time.perf_counter() - start, 1),
        "result": result,
    }
    path = file_of(job, work)
    unfinished = path.with_suffix(f".{os.getpid()}")
    # JSON here and now, so that a resumed run reads what this one goes on with.
    text = json.dumps(part)
    unfinished.write_text(text)
    os.replace(unfinished, path)
    return json.loads(text)


# --- all of them --------------------------------------------------------------------------------


def run_all(paper, settings: dict, work: Path, n_jobs: int = 1) -> list[dict]:
    """Run what is not finished; results of all jobs, in their order."""
    work.mkdir(parents=True, exist_ok=True)
    jobs = paper.jobs(settings)
    todo = [job for job in jobs if finished(job, settings, work) is None]
    calls = (delayed(run_job)(paper, job, settings, work) for job in todo)
    with parallel_config("loky", n_jobs=n_jobs, inner_max_num_threads=1):
        done = Parallel(return_as="generator_unordered")(calls)
        with tqdm(total=len(jobs), initial=len(jobs) - len(todo), unit="job") as progress:
            for part in done:
                progress.set_postfix_str(f"{file_of(part['job'], work).stem} {part['seconds']} s")
                progress.update()
    return gather(paper, settings, work)


def gather(paper, settings: dict, work: Path) -> list[dict]:
    """Results of the finished jobs, in the order of the jobs: each the job and what came of it."""
    parts = (finished(job, settings, work) for job in paper.jobs(settings))
    return [{**part["job"], **part["result"]} for part in parts if part is not None]


def write(name: str, about: dict, results: list[dict], tables: dict[str, pd.DataFrame]) -> Path:
    """Write results as JSON, one a line, and each table as CSV beside it."""
    folder = RESULTS / "papers"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    head = json.dumps(about, indent=1).removesuffix("\n}")
    lines = ",\n".join(f"  {json.dumps(result)}" for result in results)
    path.write_text(f'{head},\n "results": [\n{lines}\n ]\n}}\n')
    for old in folder.glob(f"{name}_*.csv"):
        old.unlink()
    for title, table in tables.items():
        table.to_csv(folder / f"{name}_{title}.csv", index=False, float_format="%.6g")
    return path


# --- for the tables -----------------------------------------------------------------------------


def interval(values) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval by Student's t (NaN of a single value)."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return float(values.mean()), float("nan")
    return float(values.mean()), float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))


def over_seeds(frame: pd.DataFrame, by: list[str], values: list[str]) -> pd.DataFrame:
    """Mean, half interval (`<value>_ci`) and number of seeds of each value, by configuration."""
    rows = []
    for key, part in frame.groupby(by, sort=False, dropna=False):
        row = dict(zip(by, key, strict=True)) | {"seeds": part["seed"].nunique()}
        for value in values:
            row[value], row[f"{value}_ci"] = interval(part[value])
        rows.append(row)
    return pd.DataFrame(rows)


def paired(rows: pd.DataFrame, base: pd.DataFrame, on: list[str], values: list[str]):
    """Each row's `values` less those of the row of `base` that is alike in `on`.

    With the seed in `on`, what all of a seed's networks share cancels. Rows that have no such
    partner are left out.
    """
    both = rows.merge(base[[*on, *values]], on=on, suffixes=("", "_base"), validate="many_to_one")
    for value in values:
        both[value] -= both.pop(f"{value}_base")
    return both


def save_figure(figure, path: Path, dpi: int = 90) -> None:
    """Write a figure as a PNG of at most 64 colours, a third of the size, and close it."""
    from matplotlib import pyplot as plt
    from PIL import Image

    whole = io.BytesIO()
    figure.savefig(whole, format="png", dpi=dpi)
    plt.close(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.open(whole).convert("RGB").quantize(64).save(path, optimize=True)
