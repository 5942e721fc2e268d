"""Reports of real data in a real browser: how large, how soon there, how quick to the touch.

    python -m benchmarks.report_size [--rows 6000] [--work FOLDER] [--browser /usr/bin/chromium]

Readmission (a sample of the encounters), breast against colon tumours (22,283 probe sets), MNIST (a
sample of the digits) and noise of 20,000 columns, each with a small network and 1,000 explained
rows, or all that were held out.
Milliseconds from the start of the navigation until everything is there, of a keystroke in the
search, and of a change of the row, each until the next frame is drawn; medians. Errors are all that
the console says.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.feature_selection import VarianceThreshold
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._timing import print_rows, write
from benchmarks.readmission import preprocessing
from sknninterp import ANTClassifier, TorchMLPClassifier, report
from sknninterp.datasets import load_diabetes_readmission, load_gene_expression, load_mnist

BROWSER = "/usr/bin/chromium"
N_LOADS, N_KEYS, N_CHANGES = 5, 5, 20
_OPTIONS = {"optimizer": "adamw", "dtype": "float32", "random_state": 0, "max_epochs": 15}
COLUMNS = [
    "data",
    "rows",
    "features",
    "MB",
    "seconds to write",
    "load",
    "search",
    "change",
    "errors",
]


def readmission(n_rows):
    X, y = load_diabetes_readmission(return_X_y=True)
    network = ANTClassifier((64, 32), weight_decay=1.0, n_networks=3, **_OPTIONS)
    return *_sample(X, y, n_rows), make_pipeline(preprocessing(), network), {}


def genes(n_rows):
    X, y = load_gene_expression("chowdary", return_X_y=True)
    network = TorchMLPClassifier((32,), weight_decay=10.0, n_networks=3, batch_size=16, **_OPTIONS)
    scaled = make_pipeline(VarianceThreshold(), StandardScaler(), network)
    return *_sample(X, y, n_rows), scaled, {}


def mnist(n_rows):
    X, y = load_mnist(subset="train", return_X_y=True)
    network = TorchMLPClassifier((64,), weight_decay=0.1, **_OPTIONS)
    return *_sample(X, y, n_rows), network, {"image_shape": (28, 28)}


def noise(n_rows, n_columns=20_000):
    rng = np.random.default_rng(0)
    names = [f"ENSG{i:011d} (gene {i})" for i in range(n_columns)]
    X = pd.DataFrame(
        rng.normal(size=(min(n_rows, 1_400), n_columns)).astype(np.float32), columns=names
    )
    y = np.where(X.iloc[:, :5].sum(axis=1) > 0, "ill", "well")
    return X, y, TorchMLPClassifier((32,), weight_decay=10.0, n_networks=3, **_OPTIONS), {}


DATA = {"readmission": readmission, "breast/colon": genes, "MNIST": mnist, "noise": noise}


def _sample(X, y, n_rows):
    """At most so many rows, with all classes."""
    if len(y) <= n_rows:
        return X, y
    rows, _ = train_test_split(np.arange(len(y)), train_size=n_rows, stratify=y, random_state=0)
    rows = np.sort(rows)
    return (X.iloc[rows], y.iloc[rows]) if hasattr(X, "iloc") else (X[rows], y[rows])


def make(name: str, data, path: Path) -> dict:
    """Write a report; what it took."""
    X, y, estimator, options = data
    n_test = 1_000 if len(y) > 1_300 else len(y) // 4
    parts = train_test_split(X, y, test_size=n_test, stratify=y, random_state=0)
    X_train, X_test, y_train, y_test = parts
    estimator.fit(X_train, y_train)
    start = time.perf_counter()
    report(estimator, X_train, y_train, X_test=X_test, y_test=y_test, path=path, **options)
    seconds = time.perf_counter() - start
    return {
        "data": name,
        "rows": n_test,
        "features": int(np.prod(X.shape[1:])),
        "MB": path.stat().st_size / 1e6,
        "seconds to write": seconds,
    }


# -- in the browser ------------------------------------------------------------------------------

_UNTIL_DRAWN = "new Promise(done => requestAnimationFrame(() => setTimeout(done)))"


def measure(page, path: Path) -> dict:
    """Milliseconds in a page of Playwright's, medians, and what its console said."""
    errors = []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    loads = []
    for _ in range(N_LOADS):
        page.goto(path.resolve().as_uri())
        page.wait_for_selector("[data-ready]", state="attached")
        loads.append(page.evaluate("performance.getEntriesByName('report-ready')[0].startTime"))
    keys = [_timed(page, _KEY, str(i)) for i in range(N_KEYS)]
    changes = [_timed(page, _CHANGE, None) for _ in range(N_CHANGES)]
    return {
        "load": statistics.median(loads),
        "search": statistics.median(keys),
        "change": statistics.median(changes),
        "errors": len(errors),
    }


_KEY = """key => {
    const field = document.getElementById("feature-search");
    field.value = key;
    field.dispatchEvent(new Event("input"));
}"""
_CHANGE = "() => document.getElementById('row-next').click()"


def _timed(page, action, argument) -> float:
    return page.evaluate(
        f"""async argument => {{
            const start = performance.now();
            ({action})(argument);
            await {_UNTIL_DRAWN};
            return performance.now() - start;
        }}""",
        argument,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=6_000)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--work", type=Path, help="keep the reports here")
    parser.add_argument("--browser", default=BROWSER)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    rows = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        work = options.work or Path(folder)
        work.mkdir(exist_ok=True)
        browser = playwright.chromium.launch(executable_path=options.browser, args=["--no-sandbox"])
        for name in options.data:
            path = work / f"{name.replace('/', '-')}.html"
            row = make(name, DATA[name](options.rows), path)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            rows.append({**row, **measure(page, path)})
            page.close()
        about = f"Chromium {browser.version}"
        browser.close()
    rounded = [
        {key: round(value, 2) if isinstance(value, float) else value for key, value in row.items()}
        for row in rows
    ]
    print_rows(f"Reports in {about} (milliseconds)", rounded, COLUMNS)
    write("report_size", {"browser": about, "settings": {"rows": options.rows}, "reports": rounded})


if __name__ == "__main__":
    main()
