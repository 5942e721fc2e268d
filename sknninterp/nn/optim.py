"""Adam with the fused kernel and little else, and Adam with one learning rate for each neuron."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class FusedAdam(torch.optim.Adam):
    """`torch.optim.Adam(fused=True)` without the per-step bookkeeping that hooks and profiles need.

    Same parameters, state and results. On a network of a few thousand weights torch's own step
    spends most of its time outside the kernel.

    Parameters
    ----------
    params : iterable
    **options
        As `torch.optim.Adam` takes them.
    """

    def __init__(self, params: Iterable, **options: Any):
        super().__init__(params, fused=True, **options)
        # torch.amp.GradScaler must unscale the gradients itself: the step here knows no scale.
        self._step_supports_amp_scaling = False

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step, as `torch.optim.Adam.step`."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step_group(group)
        return loss

    # torch wraps each optimizer's step in hooks and a profiler record unless it is marked as done.
    step.hooked = True  # type: ignore[attr-defined]

    def _step_group(self, group: dict) -> None:
        alike: dict[tuple, list[Tensor]] = {}  # the kernel takes one device and dtype at a time
        for parameter in group["params"]:
            if parameter.grad is not None:
                alike.setdefault((parameter.device, parameter.dtype), []).append(parameter)
        for parameters in alike.values():
            self._update(group, parameters)

    def _update(self, group: dict, parameters: list[Tensor]) -> None:
        states = [self._state_of(p, group["amsgrad"]) for p in parameters]
        steps = [s["step"] for s in states]
        torch._foreach_add_(steps, 1)
        beta1, beta2 = group["betas"]
        decoupled = group.get("decoupled_weight_decay", False)  # new in torch 2.7
        kernel = torch._fused_adamw_ if decoupled else torch._fused_adam_
        kernel(
            parameters,
            [p.grad for p in parameters],
            [s["exp_avg"] for s in states],
            [s["exp_avg_sq"] for s in states],
            [s["max_exp_avg_sq"] for s in states] if group["amsgrad"] else [],
            steps,
            lr=float(group["lr"]),
            beta1=float(beta1),
            beta2=float(beta2),
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=group["amsgrad"],
            maximize=group["maximize"],
        )

    def _state_of(self, parameter: Tensor, amsgrad: bool) -> dict[str, Tensor]:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
            if amsgrad:
                state["max_exp_avg_sq"] = torch.zeros_like(parameter)
        return state


class AdamMini(torch.optim.Optimizer):
    r"""AdamW whose second moment is shared by all weights into a neuron (or channel).

    With :math:`g_{ji}` the gradient of the weight from i to neuron j,

    .. math::

        m_{ji} &\leftarrow \beta_1 m_{ji} + (1 - \beta_1) g_{ji} \\
        v_j &\leftarrow \beta_2 v_j + (1 - \beta_2) \operatorname{mean}_i g_{ji}^2 \\
        w_{ji} &\leftarrow (1 - \eta \lambda) w_{ji}
            - \eta \hat m_{ji} / (\sqrt{\hat v_j} + \epsilon)

    and hats as Adam's, for the zeros at the start. Adam divides the step of each weight by the size
    of its own gradients, so that all weights move alike, however much or little their inputs say.
    Here what says more moves more. Where there are many more columns than samples a few steps fit
    them, and a ranking is what these steps made.

    Parameters
    ----------
    params : iterable
        Weights of shape (n_outputs, n_inputs, ...), as torch's layers have them; parameters of one
        dimension have a second moment for each number, as in Adam.
    lr : float, default=1e-3
    betas : tuple of float, default=(0.9, 0.999)
    eps : float, default=1e-8
    weight_decay : float, default=0.01
        Decoupled, as AdamW's.
    stacked : bool, default=False
        Whether the parameters are those of a :class:`~sknninterp.nn.stacked.StackedMLP`, of shape
        (n_networks, n_inputs, n_outputs).

    Raises
    ------
    ValueError
        If an option is out of its range.

    References
    ----------
    Y. Zhang et al., *Adam-mini: Use Fewer Learning Rates To Gain More*, ICLR 2025.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.optim import AdamMini
    >>> layer = torch.nn.Linear(2, 1, bias=False)
    >>> with torch.no_grad():
    ...     _ = layer.weight.zero_()
    >>> optimizer = AdamMini(layer.parameters(), lr=0.1, weight_decay=0.0)
    >>> layer(torch.tensor([[3.0, 1.0]])).sum().backward()
    >>> optimizer.step()
    >>> layer.weight / layer.weight[0, 1]
    tensor([[3., 1.]], grad_fn=<DivBackward0>)
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        stacked: bool = False,
    ):
        if not lr >= 0:
            raise ValueError(f"Invalid learning rate: lr={lr} must not be negative.")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas={betas} must be two numbers from 0 to below 1.")
        if not (eps >= 0 and weight_decay >= 0):
            raise ValueError(f"eps={eps} and weight_decay={weight_decay} must not be negative.")
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**options, "stacked": stacked})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step.

        Parameters
        ----------
        closure : callable, default=None
            Computes the gradients anew, and returns the loss.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.numel():
                    self._update(group, parameter, parameter.grad)
        return loss

    def _update(self, group: dict, parameter: Tensor, gradient: Tensor) -> None:
        state = self.state[parameter]
        inputs = _inputs(parameter, group["stacked"])
        square = gradient.square()
        if inputs:
            square = square.mean(inputs, keepdim=True)
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"] = torch.zeros_like(parameter)
            # Of the parameter's shape, so that surgery and stacks need not know: one number a
            # neuron, seen from all of its weights.
            state["exp_avg_sq"] = torch.zeros_like(square).expand_as(parameter)
        state["step"] += 1
        n_steps, (beta1, beta2) = float(state["step"]), group["betas"]
        moment = state["exp_avg"].lerp_(gradient, 1 - beta1)
        second = state["exp_avg_sq"]
        for dim in inputs:
            second = second.narrow(dim, 0, 1)
        second = second * beta2 + square * (1 - beta2)
        state["exp_avg_sq"] = second.expand_as(parameter)
        size = second.div(1 - beta2**n_steps).sqrt_().add_(group["eps"])
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.addcdiv_(moment, size, value=-group["lr"] / (1 - beta1**n_steps))


def _inputs(parameter: Tensor, stacked: bool) -> tuple[int, ...]:
    """The dimensions of a neuron's weights."""
    if stacked:
        return (1,)
    return tuple(range(1, parameter.ndim))
