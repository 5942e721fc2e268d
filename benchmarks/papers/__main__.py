"""Reproduce the papers: `python -m benchmarks.papers ant --quick`, `... all --full`, `... page`.

`page` writes docs/what_holds.rst from the committed results, and runs nothing.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

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
        print(f"\n{name}: {title}\n{table.to_string(index=False)}")
    if options.full:
        command = ["python", "-m", "benchmarks.papers", name, *sys.argv[2:]]
        path = runner.write(name, about(command) | {"settings": settings}, results, tables)
        print(f"\nwritten: {path.name} and its tables")


if __name__ == "__main__":
    main()
