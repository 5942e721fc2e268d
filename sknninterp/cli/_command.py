"""From the arguments to the results."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Sequence

from sknninterp.cli._arguments import Settings, make_parser
from sknninterp.cli._demo import load_demo
from sknninterp.cli._fitting import analyse
from sknninterp.cli._messages import CommandError
from sknninterp.cli._problem import check_names, prepare, roles
from sknninterp.cli._ranking import rank_features
from sknninterp.cli._reading import check_memory, inspect_file, read_file, scan_file
from sknninterp.cli._reporting import NO_JINJA, write_report
from sknninterp.cli._summary import files_section, summary
from sknninterp.cli._writing import (
    NO_MATPLOTLIB,
    make_folder,
    scores_record,
    write_plots,
    write_scores,
    write_tables,
)

_WRONG_USE = 2
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command ``sknninterp``.

    Parameters
    ----------
    argv : sequence of str, default=None
        The arguments after the command's name; None takes those that the program was started with.

    Returns
    -------
    int
        The exit code: 0, or 2 after one line on stderr that says what is wrong with the arguments
        or the data, or 130 where the user interrupted it.

    Examples
    --------
    >>> import tempfile
    >>> from sknninterp.cli import main
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     main(["demo", "--runs", "1", "--max-epochs", "2", "--quiet", "--out", folder])
    0
    """
    try:
        arguments = make_parser().parse_args(argv)
        make_folder(arguments.out)
        frame, settings, title, notes = _load(arguments)
        _run(frame, settings, title, notes, arguments.out)
    except CommandError as error:
        print(f"sknninterp: error: {error}", file=sys.stderr)
        return _WRONG_USE
    except KeyboardInterrupt:
        print("sknninterp: interrupted", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _load(arguments):
    """Return the table, the settings, the title and first notes."""
    if arguments.command == "demo":
        frame, given, title = load_demo(arguments.data, arguments.data_home)
        return frame, Settings.of(arguments, **given), title, []
    settings = Settings.of(arguments)
    file = inspect_file(arguments.data)
    check_names(file.columns, settings)
    columns, as_text = roles(file.columns, settings)
    file, scan = scan_file(file, settings.quiet)
    check_memory(file, scan, columns)
    frame = read_file(file, scan, columns, as_text, settings.quiet)
    return frame, settings, f"What predicts {settings.target!r} in {file.path.name}?", file.notes


def _run(frame, settings, title, notes, folder):
    """Analyse a table, write the files and print the summary."""
    started = time.monotonic()
    with warnings.catch_warnings():
        # Expected of a test part: its new categories count as infrequent, or as none.
        warnings.filterwarnings("ignore", "Found unknown categories", UserWarning)
        problem = prepare(frame, settings, notes)
        analysis = analyse(problem, settings)
        ranking = rank_features(problem, settings, analysis)
        files = write_tables(folder, problem, analysis, ranking)
        plots = write_plots(folder, problem, settings, analysis, ranking)
        page = write_report(folder, problem, settings, analysis, ranking, title)
    missing = [note for files_, note in ((plots, NO_MATPLOTLIB), (page, NO_JINJA)) if not files_]
    notes = [*problem.notes, *analysis.notes, *missing]
    seconds = time.monotonic() - started
    record = scores_record(problem, settings, analysis, notes, seconds)
    files = page | files | write_scores(folder, record) | plots
    if not settings.quiet:
        print(summary(problem, settings, analysis, ranking, notes, title))
        print(f"\n{files_section(folder, files)}")
