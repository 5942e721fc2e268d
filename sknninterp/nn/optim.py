"""Adam with the fused kernel and little else: on small networks the bookkeeping costs more."""

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
