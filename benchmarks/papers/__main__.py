"""Reproduce the papers: `python -m benchmarks.papers ant --quick`, `... all --full`, `... page`.

`page` writes docs/what_holds.rst from the committed results, and runs nothing.
"""

from __future__ import annotations

import argparse
import importlib
import os
from pathlib import Path

import sknninterp
from benchmarks._timing import about
from benchmarks.papers import runner

PAPERS = ("ant", "rbm", "influence", "patterns")


def main(arguments=None):
    parser = argparse.ArgumentParser("python -m benchmarks.papers", description=__doc__)
    parser.add_argument("paper", choices=[*PAPERS, "all", "page"])
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--quick", action="store_true", help="minutes; prints tables, commits nothing"
    )
    size.add_argument("--full", action="store_true", help="hours; writes benchmarks/results/papers")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--data", help="folder of the data sets, else SKNNINTERP_DATA")
    parser.add_argument("--work", type=Path, default=Path("papers-work"))
    parser.add_argument("--jobs", type=int, default=2, help="processes, each on one thread")
    parser.add_argument("--gather", action="store_true", help="run nothing, only what is finished")
    options = parser.parse_args(arguments)
    if options.paper == "page":
        from benchmarks.papers import page

        page.write()
        return
    if not (options.quick or options.full):
        parser.error("one of --quick and --full is needed")
    if options.data is not None:
        os.environ["SKNNINTERP_DATA"] = options.data
    for name in PAPERS if options.paper == "all" else [options.paper]:
        one_paper(name, options)


def one_paper(name, options):
    paper = importlib.import_module(f"benchmarks.papers.{name}")
    settings = dict(paper.QUICK if options.quick else paper.FULL)
    if options.seeds is not None:
        settings["seeds"] = options.seeds
    work = options.work / ("quick" if options.quick else "full") / name
    if options.gather:
        results = runner.gather(paper, settings, work)
    else:
        results = runner.run_all(paper, settings, work, options.jobs)
    tables = paper.tables(results, settings)
    for title, table in tables.items():
        shown = table.to_string(index=False, max_rows=60, max_cols=16, max_colwidth=40)
        print(f"\n{name}: {title}\n{shown}")
    n_jobs = len(paper.jobs(settings))
    print(f"\n{name}: {len(results)} of {n_jobs} configurations are finished")
    for verdict in filter(None, (judge(tables) for judge in paper.VERDICTS)):
        print(f"\n{verdict}")
    if options.full:
        made_by = record(name, options, settings, len(results), n_jobs)
        path = runner.write(name, made_by, results, tables)
        print(f"\nwritten: {path.name} and its tables")
    figures = work / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    paper.figures(tables, figures)
    print(f"\ndrawn: {figures}")


def record(name, options, settings, n_finished, n_jobs) -> dict:
    """What made some results; the same however often the run was cut off."""
    command = ["python", "-m", "benchmarks.papers", name, "--full"]
    if options.seeds is not None:
        command += ["--seeds", str(options.seeds)]
    made_by = about(command)
    made_by["versions"]["sknninterp"] = sknninterp.__version__
    made_by["machine"]["torch_threads"] = 1  # of each job, whatever this process has
    return made_by | {"settings": settings, "finished": n_finished, "jobs": n_jobs}


if __name__ == "__main__":
    main()
