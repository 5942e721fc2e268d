"""Torch modules: known ones are rebuilt, others need their code, hostile ones are refused."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from sknninterp import (
    ANTClassifier,
    PersistenceError,
    PWPExplainer,
    TorchMLPClassifier,
    TorchMLPRegressor,
    load,
    save,
)
from sknninterp.nn.cnn import FixedKernelCNN
from sknninterp.persistence import _modules
from sknninterp.persistence._known import KNOWN
from sknninterp.persistence._reading import Reader
from sknninterp.persistence._writing import Writer

SMALL = {"max_epochs": 3, "random_state": 0}


class Own(nn.Module):
    """A network whose class no file knows."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.first = nn.Linear(n_inputs, 8)
        self.second = nn.Linear(8, n_outputs)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


def plain(n_inputs, n_outputs):
    return nn.Sequential(nn.Linear(n_inputs, 8), nn.ReLU(), nn.Linear(8, n_outputs))


def round_trip(module):
    writer = Writer(KNOWN)
    document = {"root": writer.value(module, "module"), "objects": writer.objects}
    return Reader(KNOWN, document, writer.tensors).root()


LAYERS = {
    "dense": (nn.Sequential(nn.Linear(6, 4, bias=False), nn.BatchNorm1d(4), nn.PReLU()), (6,)),
    "norms": (nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 4), nn.GroupNorm(2, 4)), (6,)),
    "images": (
        nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2, padding="valid", groups=2),
            nn.BatchNorm2d(4, affine=False),
            nn.LeakyReLU(0.3, inplace=True),
            nn.MaxPool2d(2, padding=1),
            nn.AdaptiveAvgPool2d((2, 1)),
            nn.Flatten(),
            nn.Dropout(0.4),
            nn.Linear(8, 3),
        ),
        (2, 9, 9),
    ),
    "signals": (nn.Sequential(nn.Conv1d(1, 2, 3, padding_mode="circular", padding=1)), (1, 7)),
    "nested": (nn.Sequential(nn.Sequential(nn.Linear(3, 3)), nn.Identity(), nn.Softplus(2)), (3,)),
    "kernels": (FixedKernelCNN(1, 4, image_shape=(8, 8)), (1, 8, 8)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_known_module(name, training, same):
    module, shape = LAYERS[name]
    module = module.train(training)
    again = round_trip(module)
    assert repr(again) == repr(module)
    assert [m.training for m in again.modules()] == [m.training for m in module.modules()]
    same(dict(module.state_dict()), dict(again.state_dict()))
    trained = [p.requires_grad for p in module.parameters()]
    assert [p.requires_grad for p in again.parameters()] == trained
    X = torch.randn(2, *shape)
    same(module.eval()(X), again.eval()(X))


def test_shared_weights_are_an_error():
    layer = nn.Linear(3, 3)
    with pytest.raises(PersistenceError, match="share weights"):
        round_trip(nn.Sequential(layer, nn.ReLU(), layer))


def test_hooks_and_subclasses_are_not_known():
    module = nn.Sequential(nn.Linear(2, 2))
    assert _modules.is_known(module)
    module[0].register_forward_hook(lambda *_: None)
    assert not _modules.is_known(module)
    assert not _modules.is_known(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)))
    assert not _modules.is_known(Own(2, 2))


# --- networks of one's own -----------------------------------------------------------------------


@pytest.mark.parametrize("module", [Own, plain, partial(Own)], ids=["class", "function", "partial"])
def test_code_is_asked_for_and_given(module, data, tmp_path, same):
    X, y = data
    first = TorchMLPClassifier(module=module, **SMALL).fit(X, y)
    path = tmp_path / "a"
    save(first, path)
    with pytest.raises(PersistenceError, match=r"(Own|plain|partial), .* load\(path, module=...\)"):
        load(path)
    again = load(path, module=module)
    assert again.module is module
    same(first.predict_proba(X), again.predict_proba(X))
    same(first.partial_fit(X, y).predict_proba(X), again.partial_fit(X, y).predict_proba(X))


def test_module_of_an_own_class_is_given_as_an_instance(data, tmp_path, same):
    first = TorchMLPClassifier(module=Own(5, 2), **SMALL).fit(*data)
    save(first, tmp_path / "a")
    given = Own(5, 2)
    before = given.first.weight.clone()
    again = load(tmp_path / "a", module=given)
    same(first.predict_proba(data[0]), again.predict_proba(data[0]))
    assert torch.equal(given.first.weight, before)


def test_module_that_is_known_needs_no_code(data, copied, same):
    first = TorchMLPClassifier(module=plain(5, 2), **SMALL).fit(*data)
    again = copied(first)
    same(first.predict_proba(data[0]), again.predict_proba(data[0]))
    same(first.module, again.module)
    same(first.fit(*data).predict_proba(data[0]), again.fit(*data).predict_proba(data[0]))


def test_known_callable_needs_no_code(copied, same):
    X, y = np.random.default_rng(0).random((12, 1, 8, 8), dtype=np.float32), np.arange(12) % 2
    first = TorchMLPClassifier(module=partial(FixedKernelCNN, image_shape=(8, 8)), **SMALL)
    again = copied(first.fit(X, y))
    same(first.predict_proba(X), again.predict_proba(X))
    assert again.module.func is FixedKernelCNN


@pytest.mark.parametrize("module", [Own, plain], ids=["class", "function"])
def test_tuned_network_of_ones_own(module, data, tmp_path, same):
    X, y = data
    first = ANTClassifier(module=module, max_epochs=6, pruning_rate=0.5, random_state=0).fit(X, y)
    save(first, tmp_path / "a")
    again = load(tmp_path / "a", module=module)
    assert again.layer_sizes_ == first.layer_sizes_ == [4]
    same(first.tuning_history_, again.tuning_history_)
    same(first.predict_proba(X), again.predict_proba(X))
    same(first.partial_fit(X, y).predict_proba(X), again.partial_fit(X, y).predict_proba(X))


def test_other_code_is_an_error(data, tmp_path):
    save(TorchMLPClassifier(module=Own, **SMALL).fit(*data), tmp_path / "a")

    class Other(Own):
        def __init__(self, n_inputs, n_outputs):
            super().__init__(n_inputs, n_outputs)
            self.first, self.second = nn.Linear(n_inputs, 9), nn.Linear(9, n_outputs)

    with pytest.raises(PersistenceError, match="(?s)module= has not the weights.*size mismatch"):
        load(tmp_path / "a", module=Other)


@pytest.mark.parametrize("make", [plain, Own], ids=["known", "own"])
def test_torch_module_in_an_explainer(make, data, tmp_path, same):
    module = make(5, 2)
    first = PWPExplainer(module).fit(data[0])
    save(first, tmp_path / "a")
    if make is Own:
        with pytest.raises(PersistenceError, match=r"Own.* load\(path, module=...\)"):
            load(tmp_path / "a")
        with pytest.raises(PersistenceError, match="give such a module"):
            load(tmp_path / "a", module=Own)
    again = load(tmp_path / "a", module=make(5, 2) if make is Own else None)
    same(first.explain(data[0]).values, again.explain(data[0]).values)


# --- hostile files -------------------------------------------------------------------------------


def module_of(document):
    return next(one["module"] for one in document["objects"] if one["kind"] == "module")


def edit(change):
    def apply(document, tensors):
        change(module_of(document), tensors)

    return apply


def set_in(*path, value):
    def change(state, _):
        for step in path[:-1]:
            state = state[step]
        state[path[-1]] = value

    return edit(change)


def first_layer(**changes):
    return edit(lambda state, _: state["children"][0][1].update(changes))


def attributes(**changes):
    return edit(lambda state, _: state["children"][0][1]["attributes"].update(changes))


def reshape(name, shape):
    def change(_, tensors):
        key = next(key for key in tensors if key.endswith(name))
        tensors[key] = tensors[key].reshape(-1)[: int(np.prod(shape))].reshape(shape).clone()

    return edit(change)


HOSTILE = {
    "unknown class": first_layer(**{"class": "torch.Embedding"}),
    "class of python": first_layer(**{"class": "os.system"}),
    "forward": attributes(forward=1),
    "__class__": attributes(__class__=1),
    "hooks": attributes(_forward_hooks={"dict": [[1, {"name": "torch.optim.SGD"}]]}),
    "parameters": attributes(_parameters={"dict": []}),
    "other class": first_layer(**{"class": "torch.Conv2d"}),
    "dotted child": edit(lambda state, _: state["children"][0].__setitem__(0, "a.b")),
    "child's name": edit(lambda state, _: state["children"][0].__setitem__(0, "forward")),
    "no children": edit(lambda state, _: state["children"].clear()),
    "no weight": edit(lambda s, _: s["children"][0][1]["parameters"].pop("weight")),
    "weight is none": edit(lambda s, _: s["children"][0][1]["parameters"].update(weight=None)),
    "narrow weight": reshape("net_.module_.0.weight", (4, 5)),
    "transposed": reshape("net_.module_.0.weight", (5, 8)),
    "empty bias": reshape("net_.module_.0.bias", (0,)),
    "type": edit(lambda _, tensors: tensors.update({k: v.double() for k, v in tensors.items()})),
    "name taken": edit(
        lambda s, _: s["children"][0][1]["parameters"].update(
            in_features=s["children"][0][1]["parameters"].pop("bias")
        )
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_module_is_an_error(name, data, changed):
    network = TorchMLPClassifier(module=plain(5, 2), **SMALL).fit(*data)

    def of_the_fitted(document, tensors):
        document["objects"].reverse()  # so that the fitted one is found, then back
        HOSTILE[name](document, tensors)
        document["objects"].reverse()

    path = changed(network, of_the_fitted)
    with pytest.raises(PersistenceError, match="changed.safetensors"):
        load(path)


@pytest.mark.parametrize(
    "layer",
    [nn.ZeroPad2d(1), nn.AdaptiveAvgPool2d(1), nn.Conv2d(1, 1, 1)],
    ids=lambda layer: type(layer).__name__,
)
def test_memory_a_layer_asks_for_is_not_given(layer, changed):
    huge = {"tuple": [10**5] * (4 if isinstance(layer, nn.ZeroPad2d) else 2)}
    module = nn.Sequential(layer, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4, 1))
    X, y = np.random.default_rng(0).random((6, 1, 4, 4), dtype=np.float32), np.arange(6.0)
    network = TorchMLPRegressor(module=module, max_epochs=1).fit(X, y)

    def enlarge(document, _):
        for one in document["objects"]:
            if one["kind"] == "module":
                of_layer = one["module"]["children"][0][1]["attributes"]
                of_layer.update(dict.fromkeys({"padding", "output_size"} & set(of_layer), huge))

    with pytest.raises(PersistenceError, match="too many numbers"):
        load(changed(network, enlarge))


def test_samples_of_terabytes_are_not_made(changed):
    module = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4, 1))
    X = np.random.default_rng(0).random((6, 1, 4, 4), dtype=np.float32)
    network = TorchMLPRegressor(module=module, max_epochs=1).fit(X, np.arange(6.0))

    def enlarge(document, _):
        document["objects"][-1]["net"]["shape"] = [1, 10**6, 10**6]

    with pytest.raises(PersistenceError, match="too large"):
        load(changed(network, enlarge))
