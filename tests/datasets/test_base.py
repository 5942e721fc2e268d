"""Finding the data: folder, environment variable, OpenML, and the errors when it is nowhere."""

from __future__ import annotations

import ast
import inspect
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from sklearn.utils import Bunch

from sknninterp import datasets

LOADERS = [
    datasets.load_mnist,
    datasets.load_fashion_mnist,
    datasets.load_cifar10,
    datasets.load_diabetes_readmission,
    datasets.load_heart_disease,
    datasets.load_pima_diabetes,
    datasets.load_beat_aml,
    datasets.load_hallmark_gene_sets,
    partial(datasets.load_gene_expression, "golub"),
    partial(datasets.load_gene_expression, "armstrong"),
    partial(datasets.load_gene_expression, "p53"),
    partial(datasets.load_gene_expression, "chowdary"),
]
PIMA = "pregnancies,glucose,blood_pressure,skin_thickness,insulin,bmi,pedigree,age,outcome\n"


def write_pima(folder, outcome=1):
    (folder / "small_tabular").mkdir(parents=True)
    text = f"{PIMA}6,148,72,35,0,33.6,0.627,50,{outcome}\n"
    (folder / "small_tabular" / "pima_diabetes.csv").write_text(text)
    return folder


@pytest.mark.parametrize("load", LOADERS)
def test_error_says_what_was_looked_for_and_what_to_do(load):
    with pytest.raises(FileNotFoundError) as caught:
        load()
    message = str(caught.value)
    assert "the environment variable SKNNINTERP_DATA is not set" in message
    assert "OpenML" in message
    assert "data_home=" in message
    assert "Original source: " in message


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize("way", ["data_home", "variable"])
def test_empty_folder_error_names_the_folder_and_openml(load, way, tmp_path, monkeypatch):
    kwargs = {}
    if way == "data_home":
        kwargs["data_home"] = tmp_path
    else:
        monkeypatch.setenv("SKNNINTERP_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError) as caught:
        load(**kwargs)
    message = str(caught.value)
    assert str(tmp_path) in message
    assert ("from data_home" in message) == (way == "data_home")
    assert "OpenML" in message


def test_error_keeps_the_network_error():
    with pytest.raises(FileNotFoundError, match="no network") as caught:
        datasets.load_mnist()
    assert isinstance(caught.value.__cause__, OSError)


def test_data_home_that_is_no_folder_fetches_nothing(tmp_path, openml):
    calls = openml(Bunch())
    with pytest.raises(FileNotFoundError, match="data_home must be an existing folder, got .*tpyo"):
        datasets.load_pima_diabetes(data_home=tmp_path / "tpyo")
    assert not calls


def test_folder_comes_before_variable_before_openml(tmp_path, monkeypatch, openml):
    row = dict.fromkeys(["preg", "plas", "pres", "skin", "insu", "mass", "pedi", "age"], [1.0])
    calls = openml(Bunch(frame=pd.DataFrame({**row, "class": ["tested_negative"]})))
    monkeypatch.setenv("SKNNINTERP_DATA", str(tmp_path / "nowhere"))
    assert datasets.load_pima_diabetes().data["age"].tolist() == [1]
    assert [call["data_id"] for call in calls] == [37]
    monkeypatch.setenv("SKNNINTERP_DATA", str(write_pima(tmp_path / "variable", outcome=0)))
    assert datasets.load_pima_diabetes().target.tolist() == [0]
    folder = write_pima(tmp_path / "argument", outcome=1)
    assert datasets.load_pima_diabetes(data_home=str(folder)).target.tolist() == [1]
    assert len(calls) == 1


def test_all_lists_every_public_function_once():
    functions = {name for name, value in vars(datasets).items() if inspect.isfunction(value)}
    assert sorted(functions) == sorted(datasets.__all__)


@pytest.mark.parametrize("name", datasets.__all__)
def test_docstring_has_every_parameter_in_order(name):
    function = getattr(datasets, name)
    section = function.__doc__.split("Parameters\n")[1].split("Returns\n")[0]
    entries = [line.strip() for line in section.splitlines() if " : " in line]
    documented = [names.strip() for entry in entries for names in entry.split(" : ")[0].split(",")]
    assert documented == list(inspect.signature(function).parameters)


def test_imports_nothing_else_of_the_package():
    for path in Path(datasets.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module]
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                continue
            roots = {module.split(".")[0] for module in modules}
            assert not roots & {"torch", "skorch", "sknninterp", "matplotlib"}, path
