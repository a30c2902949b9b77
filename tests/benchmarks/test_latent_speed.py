"""How fast a latent space learns. Figures to look at, never to assert."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from engine.latent.training import Settings, train_steps

WIDTH, STATES = 576, 4096  # the default model's


@pytest.mark.parametrize("latent", [2, 8])
def test_an_epoch(benchmark: Any, latent: int) -> None:
    """From where one epoch ends to where the next one does, 16 steps and the measuring."""
    states = torch.randn(STATES, WIDTH, generator=torch.Generator().manual_seed(0))
    settings = Settings(latent=latent, hidden=384, epochs=1000)
    steps = train_steps(states, np.arange(STATES) // 16, settings)

    def epoch() -> int:
        for count, step in enumerate(steps, 1):
            if step.epoch is not None:
                return count
        raise AssertionError("it is over")

    epoch()  # the first looks at the states
    count = benchmark.pedantic(epoch, rounds=5)
    benchmark.extra_info["steps"] = count
    assert count > 10  # a step is short: whoever types is served between two of them
