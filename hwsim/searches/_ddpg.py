"""Deep deterministic policy gradients (Lillicrap et al., ICLR 2016) as mit-han-lab/haq's lib/rl sets them up.  A door to PyTorch."""

from __future__ import annotations

from collections import deque
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn

from hwsim.quant import Array

__all__ = ["Agent"]

WIDTH = 300
TAU = 0.01
BATCH = 64
MEMORY = 128  # episodes
FRESH = 0.5  # share of the newest mean reward in the baseline


class _Critic(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.of_state, self.of_action = nn.Linear(inputs, WIDTH), nn.Linear(1, WIDTH)
        self.rest = nn.Sequential(nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1))

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        value: Tensor = self.rest(self.of_state(state) + self.of_action(action))
        return value


class Agent:
    """An actor that names actions in 0 ... 1, a critic that rates them, slow copies of both, and a memory of episodes."""

    def __init__(self, inputs: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.rng = np.random.default_rng(seed)
        layers = nn.Linear(inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1), nn.Sigmoid()
        self.actor, self.critic = nn.Sequential(*layers), _Critic(inputs)
        self.slow_actor, self.slow_critic = deepcopy(self.actor), deepcopy(self.critic)
        self.actor_step = torch.optim.Adam(self.actor.parameters(), 1e-4)
        self.critic_step = torch.optim.Adam(self.critic.parameters(), 1e-3)
        self.memory: deque[tuple[Array, Array, float]] = deque(maxlen=MEMORY)
        self.baseline: float | None = None

    def act(self, state: Array) -> float:
        """The action in a state, without noise."""
        with torch.no_grad():
            return float(self.actor(torch.from_numpy(state)))

    def remember(self, states: Array, actions: Array, reward: float) -> None:
        """An episode (steps, inputs), (steps,) whose every step is given the same reward."""
        self.memory.append((states, actions, reward))

    def learn(self) -> None:
        """One step of both networks on steps drawn from the memory; rewards are counted from a moving mean, discount 1."""
        state, action, reward, following, more = self._draw()
        mean = float(reward.mean())
        self.baseline = mean if self.baseline is None else (1 - FRESH) * self.baseline + FRESH * mean
        with torch.no_grad():
            wanted = reward - self.baseline + more * self.slow_critic(following, self.slow_actor(following))
        _minimize(self.critic_step, nn.functional.mse_loss(self.critic(state, action), wanted))
        _minimize(self.actor_step, -self.critic(state, self.actor(state)).mean())
        for slow, fast in ((self.slow_actor, self.actor), (self.slow_critic, self.critic)):
            for a, b in zip(slow.parameters(), fast.parameters(), strict=True):
                a.data.lerp_(b.data, TAU)

    def _draw(self) -> tuple[Tensor, ...]:
        """State, action, reward, next state, and 0 where an episode ends."""
        drawn = []
        for e in self.rng.integers(0, len(self.memory), BATCH):
            states, actions, reward = self.memory[e]
            i = int(self.rng.integers(len(states)))
            last = i + 1 == len(states)
            drawn.append((states[i], [actions[i]], [reward], states[i if last else i + 1], [0.0 if last else 1.0]))
        return tuple(torch.tensor(np.array(part), dtype=torch.float32) for part in zip(*drawn, strict=True))


def _minimize(step: torch.optim.Optimizer, loss: Tensor) -> None:
    step.zero_grad()
    loss.backward()
    step.step()
