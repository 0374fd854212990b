"""RMSProp with normalised Nesterov momentum, as in the official DeepMedic (no torch equivalent).

    square   <- decay * square + (1 - decay) * gradient^2
    stride   <- (1 - momentum) * rate * gradient / sqrt(square + epsilon)
    velocity <- momentum * velocity - stride
    weight   <- weight + momentum * velocity - stride

torch.optim.RMSprop has the epsilon outside the root, no (1 - momentum) and no Nesterov.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class RmsProp:
    """The optimiser of one list of parameters.

    Args:
        parameters: what is updated, from their `.grad`.
        decay: of the mean square gradient (rho).
        epsilon: added to the mean square, inside the root.
        momentum: Nesterov, normalised.
    """

    def __init__(
        self, parameters: Sequence[Tensor], *, decay: float, epsilon: float, momentum: float
    ) -> None:
        self.parameters = list(parameters)
        self.decay = decay
        self.epsilon = epsilon
        self.momentum = momentum
        self._square = [torch.zeros_like(parameter) for parameter in self.parameters]
        self._velocity = [torch.zeros_like(parameter) for parameter in self.parameters]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Update every parameter once from its gradient."""
        grads = [_gradient(parameter) for parameter in self.parameters]
        torch._foreach_mul_(self._square, self.decay)
        torch._foreach_addcmul_(self._square, grads, grads, 1.0 - self.decay)
        root = torch._foreach_add(self._square, self.epsilon)
        torch._foreach_sqrt_(root)
        stride = torch._foreach_div(grads, root)
        torch._foreach_mul_(stride, (1.0 - self.momentum) * learning_rate)
        torch._foreach_mul_(self._velocity, self.momentum)
        torch._foreach_sub_(self._velocity, stride)
        torch._foreach_add_(self.parameters, self._velocity, alpha=self.momentum)
        torch._foreach_sub_(self.parameters, stride)

    def state(self) -> dict[str, list[Tensor]]:
        """What a resumed run needs."""
        return {"square": self._square, "velocity": self._velocity}

    @torch.no_grad()
    def load(self, state: dict[str, list[Tensor]]) -> None:
        """Take up a saved state."""
        for name, ours in (("square", self._square), ("velocity", self._velocity)):
            for tensor, saved in zip(ours, state[name], strict=True):
                tensor.copy_(saved)


@torch.no_grad()
def add_weight_penalty(kernels: Sequence[Tensor], l1: float, l2: float) -> None:
    """Add the gradient of `l1 * sum |w| + l2 * sum w^2` to the kernels' gradients."""
    grads = [_gradient(kernel) for kernel in kernels]
    torch._foreach_add_(grads, list(kernels), alpha=2.0 * l2)
    torch._foreach_add_(grads, torch._foreach_sign(list(kernels)), alpha=l1)


def _gradient(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        raise ValueError("a parameter has no gradient: call backward() before step()")
    return parameter.grad
