"""The arguments of the command."""

from __future__ import annotations

import argparse
import csv
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

from sknninterp.cli._messages import CommandError

EXPLAINERS = ("pwp", "garson", "olden")
TASKS = ("auto", "classification", "regression")
DEMOS = ("breast-cancer", "readmission")

_RANK = """\
Rank the columns of a table by what neural networks use of them to predict one
column.

The table is a CSV file with a header: comma, semicolon or tab between the
values, gzipped or not. Empty cells and NA, N/A, NaN, NULL, ? and . are missing
values ("None" is a value). Columns of numbers are taken as quantities: missing
values are filled by the median and marked as missing, and after scaling, values
are cut at 10 standard deviations. All other columns are categories, and those
in fewer than 0.5 % of the rows are one category together.

A part of the rows is held out for testing. On the others a network is chosen by
cross-validation, on at most 20,000 rows: whether it reads columns of numbers as
they are or in bins as well, how strongly columns that say little are pushed out
of it, and the pruning rate (the share of its neurons that it loses while it
trains). What is best is fitted with several seeds (AdamW with weight decay 1,
or 10 where there are more columns than rows, dropout 0.2, early stopping from
2,000 rows on). The ranking is computed on the test part.
"""
_RANK_EXAMPLES = """\
examples:
  sknninterp rank heart.csv --target disease --positive yes --out results
  sknninterp rank visits.csv.gz --target readmitted --positive "<30" \\
      --group patient_nbr --id-columns encounter_id --out results
"""
_DEMO = """\
Do what "rank" does on data that come with scikit-learn (569 breast tumours, 30
measurements), or on the readmission data (about 100,000 hospital stays of
diabetic patients). The latter are looked for in --data-home, in the folder that
the environment variable SKNNINTERP_DATA names, and on OpenML.
"""


@dataclass(frozen=True)
class Settings:
    """What is asked for, the files aside; named as the options are."""

    target: str
    positive: str | None = None
    task: str = "auto"
    group: str | None = None
    id_columns: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    test_size: float = 0.25
    budget: float | None = None
    embeddings: tuple[str | None, ...] = (None, "piecewise")
    input_penalties: tuple[float, ...] = (0.0, 0.2, 0.4)
    pruning_rates: tuple[float, ...] = (0.0, 0.5, 0.75)
    hidden: tuple[int, ...] = (64, 32)
    max_epochs: int | None = None
    runs: int = 3
    explainer: str = "pwp"
    seed: int = 0
    jobs: int = 1
    top: int = 20
    quiet: bool = False

    @classmethod
    def of(cls, arguments: argparse.Namespace, **changes: Any) -> Settings:
        """Return the settings in parsed `arguments`, with `changes`."""
        known = {field.name for field in fields(cls)}
        given = {name: value for name, value in vars(arguments).items() if name in known}
        values: dict[str, Any] = {**given, **changes}
        values |= {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
        return cls(**values)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise CommandError(f"{message} (see {self.prog} --help)")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command and its subcommands."""
    parser = _Parser(
        prog="sknninterp",
        description="Rankings of the features that neural networks use.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{rank,demo}")
    rank = _add_command(commands, "rank", "rank the columns of a CSV file", _RANK, _RANK_EXAMPLES)
    _add_data_options(rank)
    demo = _add_command(commands, "demo", "the same on data that are at hand", _DEMO)
    demo.add_argument(
        "--data", choices=DEMOS, default=DEMOS[0], help="which data (default: %(default)s)"
    )
    demo.add_argument(
        "--data-home", type=Path, metavar="FOLDER", help="folder of the readmission data"
    )
    for command in (rank, demo):
        _add_analysis_options(command)
        _add_network_options(command)
        _add_output_options(command)
    return parser


def _add_command(
    commands: Any, name: str, help_line: str, description: str, epilog: str | None = None
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=help_line,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, metavar="data.csv", help="the table, .csv or .csv.gz")
    data = parser.add_argument_group("the data")
    data.add_argument(
        "--target", required=True, metavar="COLUMN", help="the column that is predicted"
    )
    data.add_argument(
        "--positive",
        metavar="VALUE",
        help="the value of the target that is the event; all others together are the other class "
        "(default with two values: the second in alphabetical or numerical order)",
    )
    data.add_argument(
        "--task",
        choices=TASKS,
        default=Settings.task,
        help="auto (the default) predicts text, and whole numbers of at most 10 different values, "
        "as classes, and other numbers as quantities",
    )
    data.add_argument(
        "--group",
        metavar="COLUMN",
        help="rows with the same value here (a patient's visits) are never both in training and "
        "in test; no feature itself",
    )
    for option, text in (
        ("--id-columns", "identifiers: no features, but given in explanations.csv"),
        ("--drop", "columns that are left out"),
        ("--categorical", "columns of numeric codes that are categories, not quantities"),
    ):
        data.add_argument(
            option, type=_names, action="extend", default=[], metavar="A,B", help=text
        )


def _add_analysis_options(parser: Any) -> None:
    parser = parser.add_argument_group("the analysis")
    parser.add_argument(
        "--explainer",
        choices=EXPLAINERS,
        default=Settings.explainer,
        help="personalized weight products (the default), Garson's or Olden's importances",
    )
    parser.add_argument(
        "--test-size",
        type=_share,
        default=Settings.test_size,
        metavar="SHARE",
        help="share of the rows (or groups) held out for testing (default: %(default)s)",
    )
    parser.add_argument(
        "--budget",
        type=_duration,
        metavar="TIME",
        help="about how long the command may take, such as 90s, 10m or 2h: the search for a network"
        " leaves out what there is no time for (default: it tries everything)",
    )
    _add_number(parser, "runs", 1, "networks fitted, each with its own seed")
    _add_number(parser, "seed", 0, "one seed gives the same results every time")
    _add_number(parser, "jobs", 1, "networks fitted at the same time")


def _add_number(parser: Any, name: str, least: int, text: str) -> None:
    parser.add_argument(
        f"--{name}",
        type=_whole(least),
        default=getattr(Settings, name),
        metavar="N",
        help=f"{text} (default: %(default)s)",
    )


def _add_network_options(parser: Any) -> None:
    parser = parser.add_argument_group("the network")
    parser.add_argument(
        "--embeddings",
        type=_embeddings,
        default=Settings.embeddings,
        metavar="E,E",
        help="what is read of columns of numbers, none (as they are) or piecewise (in bins as "
        "well), that are tried; beyond 2,000 columns only none (default: none,piecewise)",
    )
    parser.add_argument(
        "--input-penalties",
        type=_penalties,
        default=Settings.input_penalties,
        metavar="P,P",
        help="how strongly columns that say little are pushed out, from 0 to about 1, that are "
        "tried (default: 0,0.2,0.4)",
    )
    parser.add_argument(
        "--pruning-rates",
        type=_rates,
        default=Settings.pruning_rates,
        metavar="R,R",
        help="shares of neurons removed, each from 0 to below 1, that are tried "
        "(default: 0,0.5,0.75)",
    )
    parser.add_argument(
        "--hidden",
        type=_sizes,
        default=Settings.hidden,
        metavar="N,N",
        help="neurons in each hidden layer before pruning (default: 64,32)",
    )
    parser.add_argument(
        "--max-epochs",
        type=_whole(2),
        metavar="N",
        help="passes over the training rows (default: 60 up to 2,000 rows, 20 up to 500,000, else "
        "10; in batches of 32 rows, 256 from 2,000, 512 from 20,000, 2048 from 500,000 on)",
    )


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    output = parser.add_argument_group("the output")
    output.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="folder for the results"
    )
    _add_number(output, "top", 1, "features in the printed ranking and the plots")
    output.add_argument(
        "--quiet", action="store_true", help="print errors only; the files are written all the same"
    )


# -- types of arguments --------------------------------------------------------------------------


def _names(text: str) -> list[str]:
    """Names between commas; one with a comma in it stands in double quotes."""
    return [name.strip() for name in next(csv.reader([text], skipinitialspace=True)) if name]


def _numbers(text: str, kind: type) -> list:
    try:
        numbers = [kind(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers such as 1,2") from None
    return numbers


def _rates(text: str) -> tuple[float, ...]:
    rates = _numbers(text, float)
    wrong = [rate for rate in rates if not 0 <= rate < 1]
    if wrong:
        raise argparse.ArgumentTypeError(
            f"a pruning rate is from 0 to below 1, got {', '.join(f'{rate:g}' for rate in wrong)}"
        )
    return tuple(sorted(set(rates)))


def _penalties(text: str) -> tuple[float, ...]:
    penalties = _numbers(text, float)
    if not all(0 <= penalty < math.inf for penalty in penalties):
        raise argparse.ArgumentTypeError(f"a penalty is 0 or more, got {text!r}")
    return tuple(sorted(set(penalties)))


def _embeddings(text: str) -> tuple[str | None, ...]:
    known = {"none": None, "piecewise": "piecewise"}
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"takes none and piecewise, got {name!r}")
    return tuple(known[name] for name in dict.fromkeys(names))


def _duration(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip().lower())
    if found is None or float(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"takes a time such as 90s, 10m or 2h, got {text!r}")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def _sizes(text: str) -> tuple[int, ...]:
    sizes = _numbers(text, int)
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"a layer has at least 1 neuron, got {min(sizes)}")
    return tuple(sizes)


def _whole(least: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not text.strip().lstrip("+").isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(
                f"takes a whole number of at least {least}, got {text!r}"
            )
        return int(text)

    return convert


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"takes a share between 0 and 1, got {text!r}")
    return share
