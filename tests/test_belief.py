"""The belief in an additive loss: what whole assignments lose corrects what single widths were measured to lose."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.decide.belief import Belief

LOSSES = [np.array([0.4, 0.1, 0.0]), np.array([0.2, 0.0]), np.array([0.0, 0.0])]


def test_the_first_assignment_fixes_the_unit() -> None:
    belief = Belief(LOSSES)
    belief.learn([0, 0, 0], 6.0)
    expected = belief.mean()
    assert [len(row) for row in expected] == [3, 2, 2]
    assert expected[0] == pytest.approx(10 * LOSSES[0]) and expected[1] == pytest.approx(10 * LOSSES[1])


def test_what_is_learned_is_foretold() -> None:
    rng, truth = np.random.default_rng(0), [np.array([0.3, 0.12, 0.0]), np.array([0.26, 0.0]), np.array([0.0, 0.0])]
    belief = Belief(LOSSES)
    belief.learn([0, 0, 0], 0.56)
    for _ in range(300):
        choice = [int(rng.integers(len(row))) for row in truth]
        lost = sum(float(row[o]) for row, o in zip(truth, choice, strict=True))
        belief.learn(choice, max(lost, 1e-3))
    assert np.concatenate(belief.mean()) == pytest.approx(np.concatenate(truth), abs=0.01)


def test_draws_spread_as_far_as_is_not_known_and_never_where_nothing_is_lost() -> None:
    belief, rng = Belief(LOSSES), np.random.default_rng(0)
    belief.learn([0, 0, 0], 0.6)
    before = np.array([np.concatenate(belief.drawn(rng)) for _ in range(500)])
    for _ in range(50):
        belief.learn([0, 1, 0], 0.4)
    after = np.array([np.concatenate(belief.drawn(rng)) for _ in range(500)])
    assert before[:, 0].std() == pytest.approx(0.047, rel=0.15) and after[:, 0].std() < 0.3 * before[:, 0].std()
    assert np.abs([before[:, [2, 4, 5, 6]], after[:, [2, 4, 5, 6]]]).max() < 1e-8


def test_losses_that_are_all_zero_stay() -> None:
    belief = Belief([np.zeros(3)])
    belief.learn([1], 0.0)
    assert belief.drawn(np.random.default_rng(0))[0] == pytest.approx(np.zeros(3)) and belief.mean()[0].tolist() == [0, 0, 0]
