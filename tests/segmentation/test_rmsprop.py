from __future__ import annotations

import numpy as np
import pytest
import torch

from gansfer.segmentation.rmsprop import RmsProp, add_weight_penalty


def test_update_is_the_official_one() -> None:
    """Epsilon inside the root, stride times (1 - momentum), Nesterov look-ahead."""
    rng = np.random.default_rng(0)
    weight, grads = rng.normal(size=7), rng.normal(size=(5, 7))
    parameter = torch.tensor(weight)
    optimiser = RmsProp([parameter], decay=0.9, epsilon=1e-4, momentum=0.6)
    square, velocity = np.zeros(7), np.zeros(7)
    for grad in grads:
        parameter.grad = torch.tensor(grad)
        optimiser.step(1e-3)
        for i in range(7):
            square[i] = 0.9 * square[i] + 0.1 * grad[i] ** 2
            stride = 0.4 * 1e-3 * grad[i] / (square[i] + 1e-4) ** 0.5
            velocity[i] = 0.6 * velocity[i] - stride
            weight[i] += 0.6 * velocity[i] - stride
    np.testing.assert_allclose(parameter.numpy(), weight, rtol=1e-12)


def test_state_takes_up_where_it_was() -> None:
    def stepped(n_before: int, n_after: int) -> torch.Tensor:
        weight = torch.ones(3)
        optimiser = RmsProp([weight], decay=0.9, epsilon=1e-4, momentum=0.6)
        for step in range(n_before + n_after):
            if step == n_before:
                state = {
                    key: [t.clone() for t in value] for key, value in optimiser.state().items()
                }
                optimiser = RmsProp([weight], decay=0.9, epsilon=1e-4, momentum=0.6)
                optimiser.load(state)
            weight.grad = torch.full((3,), 0.1 * step)
            optimiser.step(0.1)
        return weight

    assert torch.equal(stepped(2, 3), stepped(4, 1))


def test_penalty_is_the_gradient_of_l1_and_l2() -> None:
    kernel = torch.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    (1e-2 * kernel.abs().sum() + 1e-1 * kernel.square().sum()).backward()
    assert kernel.grad is not None
    wanted = kernel.grad.clone()
    kernel.grad = torch.zeros(3)
    add_weight_penalty([kernel], l1=1e-2, l2=1e-1)
    torch.testing.assert_close(kernel.grad, wanted)


def test_a_parameter_without_gradient_is_refused() -> None:
    with pytest.raises(ValueError, match="no gradient"):
        RmsProp([torch.ones(2)], decay=0.9, epsilon=1e-4, momentum=0.6).step(0.1)
