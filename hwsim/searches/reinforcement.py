"""HAQ's agent (Wang et al., CVPR 2019, section 3): a deterministic policy gradient (DDPG) walks over the layers and names their bits.

State, action and reward are the published ones.  State: what the variable is (ten numbers with its place and the last action).
Action: a number in 0 ... 1, spread evenly over the options.  Then bits are taken away, one at a time from the last variable to the
first and again, until every limit is kept.  Reward: 0.1 x (accuracy - accuracy of the widest), in points, for every step of an episode;
here the loss stands for accuracy, 100 points from the best to the worst loss that there is.

Networks and constants are mit-han-lab/haq's (actor and critic of 300-300, learning rates 1e-4 and 1e-3, soft updates of 0.01, 20
episodes of warming up, noise 0.5 with a decay of 0.99), but an episode is followed by at most 16 updates, not one for each layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.allocation import Allocation
from hwsim.errors import HwsimError
from hwsim.quant import Array
from hwsim.searches._scores import best_first, scores

EXACT = False
EPISODES = 600
WARM_UP = 20
NOISE, DECAY = 0.5, 0.99
UPDATES = 16


def search(problem: Allocation, seed: int = 0) -> Array:
    """The assignments of all episodes that are within the limits, the best first (at most 100).

    Raises HwsimError when PyTorch is not installed.
    """
    try:
        from hwsim.searches._ddpg import Agent
    except ImportError:
        raise HwsimError(
            "--strategy reinforcement", "must have PyTorch", "an environment without it", "pip install 'hwsim[train]'"
        ) from None
    rng, what = np.random.default_rng(seed), _features(problem)
    agent, reward_of = Agent(what.shape[1] + 1, seed), _rewards(problem)
    found = np.zeros((EPISODES, len(problem.options)), np.uint8)
    for episode in range(EPISODES):
        noise = NOISE * DECAY ** max(episode - WARM_UP, 0)
        states, actions = _episode(what, agent, rng, noise, random=episode < WARM_UP)
        found[episode] = _within(problem, _options(problem, actions))
        agent.remember(states, actions, reward_of(found[episode]))
        if episode >= WARM_UP:
            for _ in range(min(UPDATES, len(actions))):
                agent.learn()
    return best_first(problem, found)[:100]


def _features(problem: Allocation) -> Array:
    """What each variable is, with its place, from 0 to 1."""
    count = len(problem.options)
    known = problem.features if problem.features is not None else np.zeros((count, 0))
    return np.concatenate([known, np.linspace(0, 1, count)[:, None]], 1).astype(np.float32)


def _episode(what: Array, agent: Any, rng: np.random.Generator, noise: float, random: bool) -> tuple[Array, Array]:
    """The states and actions of one walk over the variables; noise is normal, cut off at 0 and 1."""
    states, actions, last = [], [], 0.0
    for row in what:
        states.append(np.append(row, np.float32(last)))
        last = float(rng.random()) if random else _noisy(agent.act(states[-1]), noise, rng)
        actions.append(last)
    return np.stack(states).astype(np.float32), np.array(actions, np.float32)


def _noisy(action: float, noise: float, rng: np.random.Generator) -> float:
    """A normal draw around an action, drawn again while it is outside."""
    while not 0 <= (drawn := float(rng.normal(action, noise))) <= 1:
        pass
    return drawn


def _options(problem: Allocation, actions: Array) -> Array:
    """round((max + 0.5 - (min - 0.5)) a + (min - 0.5)), kept inside."""
    options = np.array(problem.options)
    return np.clip(np.rint(options * actions - 0.5), 0, options - 1).astype(np.uint8)


def _within(problem: Allocation, choice: Array) -> Array:
    """Options taken down from the last variable to the first, in rounds, until the limits are kept; the lowest where they never are."""
    limits, count = np.array(problem.limits[1:]), len(choice)
    for _ in range(max(problem.options)):
        rounds = np.repeat(choice[None], count + 1, 0)
        for i in range(count):
            rounds[i + 1 :, count - 1 - i] = max(int(choice[count - 1 - i]) - 1, 0)
        kept = (scores(problem, rounds)[:, 1:] <= limits).all(1)
        if kept.any():
            return np.asarray(rounds[int(kept.argmax())])
        choice = rounds[-1]
    return choice


def _rewards(problem: Allocation) -> Any:
    """The reward of an assignment."""
    ends = np.stack([np.zeros(len(problem.options), np.uint8), np.array(problem.options, np.uint8) - 1])
    worst, best = (float(v) if np.isfinite(v) else 0.0 for v in scores(problem, ends)[:, 0])
    span = abs(worst - best) or 1.0

    def reward(choice: Array) -> float:
        loss = float(scores(problem, choice[None])[0, 0])
        return -0.1 * 100 * (min((loss - best) / span, 10.0) if np.isfinite(loss) else 10.0)

    return reward
