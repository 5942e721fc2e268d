"""A convolutional network for small grey images whose first filters are known image kernels."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import Tensor, nn

_COMPASS = ("north", "northwest", "west", "southwest", "south", "southeast", "east", "northeast")
# The ring around the centre, clockwise from the top left.
_RING = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))


def image_kernels() -> dict[str, Tensor]:
    r"""The 41 kernels, 3 x 3, by name.

    Smoothing and sharpening: identity, box, Gaussian, two sharpening kernels and emboss [1]_.
    Second derivatives: the Laplacian with 4 and with 8 neighbours, and the mixed one [1]_. First
    derivatives: Prewitt [2]_, Sobel [3]_ and Scharr [4]_ in x and y, and Roberts' cross [5]_. In
    eight directions of the compass: Prewitt's [2]_ and Kirsch's [6]_ masks. Lines in four
    directions [1]_, and the first four masks, an edge subspace, of Frei and Chen [7]_.

    Returns
    -------
    dict of str to Tensor of shape (3, 3)
        In the literature's scale: correlated with an image, as `conv2d` does.

    References
    ----------
    .. [1] Gonzalez & Woods, *Digital Image Processing*, chapters 3 and 10.
    .. [2] Prewitt (1970), "Object enhancement and extraction", in *Picture Processing and
       Psychopictorics*.
    .. [3] Sobel & Feldman (1968), *An isotropic 3x3 image gradient operator*.
    .. [4] Scharr (2000), *Optimale Operatoren in der digitalen Bildverarbeitung*.
    .. [5] Roberts (1963), *Machine perception of three-dimensional solids*.
    .. [6] Kirsch (1971), "Computer determination of the constituent structure of biological
       images", Computers and Biomedical Research 4:315.
    .. [7] Frei & Chen (1977), "Fast boundary detection", IEEE Transactions on Computers 26:988.

    Examples
    --------
    >>> from sknninterp.nn.cnn import image_kernels
    >>> kernels = image_kernels()
    >>> len(kernels), kernels["sobel x"].tolist()
    (41, [[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    """
    root = 2**0.5
    kernels = {
        "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
        "box": [[1 / 9] * 3] * 3,
        "gaussian": [[1 / 16, 2 / 16, 1 / 16], [2 / 16, 4 / 16, 2 / 16], [1 / 16, 2 / 16, 1 / 16]],
        "sharpen 4": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
        "sharpen 8": [[-1, -1, -1], [-1, 9, -1], [-1, -1, -1]],
        "emboss": [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]],
        "laplacian 4": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
        "laplacian 8": [[1, 1, 1], [1, -8, 1], [1, 1, 1]],
        "laplacian mixed": [[1, -2, 1], [-2, 4, -2], [1, -2, 1]],
        **_gradient("prewitt", 1, 1),
        **_gradient("sobel", 1, 2),
        **_gradient("scharr", 3, 10),
        "roberts 1": [[1, 0, 0], [0, -1, 0], [0, 0, 0]],
        "roberts 2": [[0, 1, 0], [-1, 0, 0], [0, 0, 0]],
        **_compass("prewitt", -2, (1, 1, 1, 1, -1, -1, -1, 1)),
        **_compass("kirsch", 0, (5, 5, 5, -3, -3, -3, -3, -3)),
        "line horizontal": [[-1, -1, -1], [2, 2, 2], [-1, -1, -1]],
        "line vertical": [[-1, 2, -1], [-1, 2, -1], [-1, 2, -1]],
        "line rising": [[-1, -1, 2], [-1, 2, -1], [2, -1, -1]],
        "line falling": [[2, -1, -1], [-1, 2, -1], [-1, -1, 2]],
        "frei-chen 1": [[1, root, 1], [0, 0, 0], [-1, -root, -1]],
        "frei-chen 2": [[1, 0, -1], [root, 0, -root], [1, 0, -1]],
        "frei-chen 3": [[0, -1, root], [1, 0, -1], [-root, 1, 0]],
        "frei-chen 4": [[root, -1, 0], [-1, 0, 1], [0, 1, -root]],
    }
    return {name: torch.tensor(kernel, dtype=torch.float32) for name, kernel in kernels.items()}


def _gradient(name: str, corner: float, middle: float) -> dict[str, list]:
    """The derivatives in x and y that smooth with (corner, middle, corner)."""
    x = [[-corner, 0, corner], [-middle, 0, middle], [-corner, 0, corner]]
    return {f"{name} x": x, f"{name} y": [list(row) for row in zip(*x, strict=True)]}


def _compass(name: str, centre: float, north: tuple) -> dict[str, list]:
    """A mask in eight directions: the ring turned counter-clockwise, an eighth at a time."""
    masks = {}
    for turn, direction in enumerate(_COMPASS):
        mask: list[list[float]] = [[0, 0, 0], [0, centre, 0], [0, 0, 0]]
        for (row, column), value in zip(_RING, north[turn:] + north[:turn], strict=True):
            mask[row][column] = value
        masks[f"{name} {direction}"] = mask
    return masks


class FixedKernelCNN(nn.Sequential):
    """Three convolutions, the first with known image kernels that are not trained [1]_.

    The 41 kernels of :func:`image_kernels`, each scaled to norm 1 and without bias, then 64 and 128
    trained filters of 3 x 3; each convolution keeps the size of the image and is followed by ReLU
    and max pooling, of the last with a margin, so that 28 x 28 pixels become 14, 7 and 4; then a
    hidden layer of 625 neurons. Made to be handed over as
    `TorchMLPClassifier(module=FixedKernelCNN)`.

    Parameters
    ----------
    n_inputs : int
        Channels of the images: 1.
    n_outputs : int
    image_shape : tuple of int, default=(28, 28)
        Height and width; others with `functools.partial(FixedKernelCNN, image_shape=(32, 32))`.
    dropout : float, default=0.5
        Share of the hidden layer's values, and half of that share of the last feature maps',
        dropped while training.

    Raises
    ------
    ValueError
        If the images have more than one channel.

    References
    ----------
    .. [1] Jung, Shin, Kwon, *A Metric to Measure Contribution of Nodes in Neural Networks*: the
       network of its experiments on MNIST. The paper does not list its kernels.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.cnn import FixedKernelCNN
    >>> network = FixedKernelCNN(1, 10)
    >>> network.conv1.out_channels, network.hidden.in_features
    (41, 2048)
    >>> network(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    conv1: nn.Conv2d

    def __init__(
        self,
        n_inputs: int = 1,
        n_outputs: int = 10,
        image_shape: tuple[int, int] = (28, 28),
        dropout: float = 0.5,
    ):
        if n_inputs != 1:
            raise ValueError(
                f"n_inputs={n_inputs}: the fixed kernels read grey images, with one channel."
            )
        kernels = torch.stack(list(image_kernels().values()))
        widths = (len(kernels), 64, 128)
        height, width = (size // 4 // 2 + 1 for size in image_shape)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for i, (n_in, n_out) in enumerate(pairwise((1, *widths)), 1):
            layers[f"conv{i}"] = nn.Conv2d(n_in, n_out, 3, padding=1, bias=i > 1)
            layers[f"relu{i}"] = nn.ReLU()
            layers[f"pool{i}"] = nn.MaxPool2d(2, padding=int(i == 3))
        layers["flatten"] = nn.Flatten()
        layers["dropout3"] = nn.Dropout(dropout / 2)
        layers["hidden"] = nn.Linear(widths[-1] * height * width, 625)
        layers["relu4"] = nn.ReLU()
        layers["dropout4"] = nn.Dropout(dropout)
        layers["output"] = nn.Linear(625, n_outputs)
        super().__init__(layers)
        with torch.no_grad():
            self.conv1.weight.copy_((kernels / kernels.norm(dim=(1, 2), keepdim=True))[:, None])
        self.conv1.weight.requires_grad_(False)
