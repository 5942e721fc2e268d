"""The command line: a ranking of the columns of a table in a CSV file, without any Python.

``sknninterp rank data.csv --target outcome --out folder`` does what a careful analyst would: it
reads the file, decides on the types of the columns, holds out a test part, searches the pruning
rate on the rest, fits the network with several seeds and ranks the columns by what these networks
use. ``sknninterp rank --help`` lists the options.
"""

from __future__ import annotations

from sknninterp.cli._command import main

__all__ = ["main"]
