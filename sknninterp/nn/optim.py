"""Adam with the fused kernel and little else: on small networks the bookkeeping costs more."""

from __future__ import annotations

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

    def __init__(self, params, **options):
        super().__init__(params, fused=True, **options)

    @torch.no_grad()
    def step(self, closure=None):
        """One step, as `torch.optim.Adam.step`."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step_group(group)
        return loss

    # torch wraps each optimizer's step in hooks and a profiler record unless it is marked as done.
    step.hooked = True

    def _step_group(self, group) -> None:
        params = [p for p in group["params"] if p.grad is not None]
        if not params:
            return
        states = [self._state_of(p) for p in params]
        steps = [s["step"] for s in states]
        torch._foreach_add_(steps, 1)
        beta1, beta2 = group["betas"]
        lr = group["lr"]
        torch._fused_adam_(
            params,
            [p.grad for p in params],
            [s["exp_avg"] for s in states],
            [s["exp_avg_sq"] for s in states],
            [],
            steps,
            lr=float(lr) if isinstance(lr, Tensor) else lr,
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        return state
