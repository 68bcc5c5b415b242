"""Plans of memory: by hand on the tiny chip, and what holds for all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hwsim.io.arch_yaml import load_arch
from hwsim.memory_plan import MemoryPlan, Region
from hwsim.simulate import simulate
from hwsim.steps.addresses import addressed
from tests.test_cost import TINY, Stored, two_layers
from tests.test_event import blocks
from tests.test_laws import CHIPS, NETWORKS, Chip, Drawn, quantized


@pytest.fixture
def tiny(tmp_path: Path) -> Any:
    """The tiny chip with fields changed."""
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    return lambda **changed: load_arch(file, {k.replace("__", "."): v for k, v in changed.items()})


def plan_of(arch: Any, graph: Any) -> MemoryPlan:
    found = simulate(arch, graph).memory_plan
    assert found is not None
    return found


def shown(plan: MemoryPlan, memory: str) -> list[tuple[str, int, int, int, int]]:
    return sorted((r.name, r.offset_bytes, r.size_bytes, r.first, r.last) for r in plan.regions if r.memory == memory)


def test_activations_that_stay(tiny: Any) -> None:
    """Maps of 256 B: the input lives at the first layer, the map between at both, the output at the second, where the input lay.  Beside
    them two outputs' weights of 4 B each on their way; all 16 B of weights of each layer stay in DRAM."""
    plan = plan_of(tiny(), two_layers().graph())
    assert shown(plan, "sram") == [
        ("first weights", 512, 8, 0, 0),
        ("first.quantize.out", 0, 256, 0, 1),
        ("input", 256, 256, 0, 0),
        ("second weights", 512, 8, 1, 1),
        ("second.quantize.out", 256, 256, 1, 1),
    ]
    assert shown(plan, "dram") == [("first weights", 0, 16, 0, 1), ("second weights", 16, 16, 0, 1)]
    assert plan.peak_bytes["sram"] == 520
    assert plan.live_bytes("sram") == [520, 520]


def test_spilled_activations_and_tiles(tiny: Any) -> None:
    """One bit too few for the live set: all maps come and go.  Two rows of 32 B are a tile of a map; SRAM holds two of each, and two of the
    16 B of weights: 128 + 128 + 32 B.  (Tiles of four rows would need 544 of 519 B.)  In DRAM the output takes the input's place."""
    plan = plan_of(tiny(memories__sram__size="4159 bits"), two_layers().graph())
    assert shown(plan, "sram") == [
        ("first inputs", 0, 128, 0, 0),
        ("first outputs", 128, 128, 0, 0),
        ("first weights", 256, 32, 0, 0),
        ("second inputs", 0, 128, 1, 1),
        ("second outputs", 128, 128, 1, 1),
        ("second weights", 256, 32, 1, 1),
    ]
    assert shown(plan, "dram") == [
        ("first weights", 256, 16, 0, 1),
        ("first.quantize.out", 0, 256, 0, 1),
        ("input", 288, 256, 0, 0),
        ("second weights", 272, 16, 0, 1),
        ("second.quantize.out", 288, 256, 1, 1),
    ]


REGIONS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 40)), min_size=1, max_size=25)


@given(REGIONS)
def test_regions_never_overlap(drawn: list[tuple[int, int, int]]) -> None:
    regions = [Region(str(i), "tiles", "m", size, min(a, b), max(a, b)) for i, (a, b, size) in enumerate(drawn)]
    placed = addressed(regions)
    assert [(r.name, r.size_bytes, r.first, r.last) for r in placed] == [(r.name, r.size_bytes, r.first, r.last) for r in regions]
    for i, a in enumerate(placed):
        for b in placed[:i]:
            apart_in_time = a.last < b.first or b.last < a.first
            assert apart_in_time or a.end_bytes <= b.offset_bytes or b.end_bytes <= a.offset_bytes
    assert addressed(regions) == placed


@given(REGIONS)
def test_equal_sizes_leave_no_gap(drawn: list[tuple[int, int, int]]) -> None:
    """Intervals of equal height: placed by their beginning, first fit needs no more than what is live (interval graphs are perfect)."""
    regions = [Region(str(i), "tiles", "m", 8, min(a, b), max(a, b)) for i, (a, b, _) in enumerate(drawn)]
    plan = MemoryPlan(tuple(map(str, range(10))), tuple(addressed(regions)), {"m": None})
    assert plan.peak_bytes["m"] == max(plan.live_bytes("m"))


@settings(max_examples=25)
@given(NETWORKS, CHIPS)
def test_plans_of_random_networks(net: Drawn, chip: Chip) -> None:
    """What fits has addresses within the memory or says what must move; everything lies somewhere."""
    arch = load_arch(*chip)
    assume(arch.fallback is not None)
    result = simulate(arch, quantized(arch, net, (8, 8)))
    plan = result.memory_plan
    assert plan is not None
    for memory, peak in plan.peak_bytes.items():
        size, live = plan.capacity_bytes[memory], plan.live_bytes(memory)
        assert peak >= max(live)
        if result.cost.fits and size is not None:
            slack = sum(r.memory == memory for r in plan.regions)  # bytes are whole, bits of several regions may share one
            assert max(live) <= size + slack
    weights = sum(r.size_bytes for r in plan.regions if r.kind == "weights" and r.memory == arch.path("weights")[-1])
    assert weights >= result.cost.weight_bytes
    outputs = {r.name for r in plan.regions if r.kind == "activation" and r.last == len(plan.layers) - 1}
    assert outputs, "the network's outputs lie somewhere to the end"


@pytest.mark.slow
def test_the_same_bytes_in_every_process() -> None:
    """Whatever order Python gives to sets: result and trace of a run in events."""
    program = (
        "from hwsim.io.arch_yaml import load_arch; from hwsim.building import build_network; from hwsim.steps.read import read\n"
        "from hwsim.simulate import simulate; from hwsim.io.trace import to_chrome\n"
        "arch = load_arch('snpe_dsp'); net = build_network('resnet8', 'w8a8', rules=arch.quantization)\n"
        "found = simulate(arch, read(net), fidelity='event'); print(found.to_json(), to_chrome(found))"
    )
    seen = set()
    for seed in ("0", "1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        seen.add(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env).stdout)
    assert len(seen) == 1


# Weights that come ahead ---------------------------------------------------------------------------------------------------------------


def two_unlike_layers() -> Stored:
    """3x3, 16 to 16 channels, on 2 x 2; then 1x1, 16 to 64, on one position."""
    net = Stored((1, 16, 2, 2)).conv("first", 16, 16, 3)
    return net.then("Conv", "second", (64, 16, 1, 1), kernel_shape=[1, 1], strides=[2, 2])


def test_weights_come_while_the_layer_before_runs(tiny: Any) -> None:
    """DRAM gives 64 bits a cycle.  The first layer: 4 x 4 rounds, 4 positions, 9 taps: 576 cycles; its 18432 bits of weights come in 288.
    The second: 4 x 16 rounds: 64 cycles; its 8192 bits of weights and 512 of outputs take SRAM's write port 136.  The weights come while
    DRAM and that port have nothing else to do: 72 cycles less."""
    fast = {"memories__dram__read": "8 B/cycle", "memories__dram__write": "8 B/cycle"}
    plain, ahead = (simulate(tiny(**fast, dma__prefetch=p), two_unlike_layers().graph()) for p in ("false", "true"))
    assert [c.cycles["memory"] for c in plain.cost.layers[:2]] == [12, 72 + 12]
    assert [c.cycles["memory"] for c in ahead.cost.layers[:2]] == [12, 12]
    assert [c.cycles["compute"] for c in ahead.cost.layers[:2]] == [576, 64]
    assert [c.read_bits for c in ahead.cost.layers] == [c.read_bits for c in plain.cost.layers]
    assert ahead.memory_plan is not None
    waiting = [(r.size_bytes, r.first, r.last) for r in ahead.memory_plan.regions if r.name == "second weights ahead"]
    assert waiting == [(1024, 0, 1)]
    played = [simulate(tiny(**fast, dma__prefetch=p), two_unlike_layers().graph(), fidelity="event").cost.cycles for p in ("false", "true")]
    assert played[1] < played[0]


@pytest.mark.parametrize("name", ["hexagon_v75", "snpe_dsp", "tpu_v1", "nvdla_full", "dpu_b4096", "gap9_ne16"])
def test_looking_ahead_is_never_slower_and_moves_the_same(name: str) -> None:
    plain, ahead = (load_arch(name, {"dma.prefetch": p}) for p in ("false", "true"))
    graph = quantized(plain, Drawn(blocks()), (8, 8))
    a, b = simulate(plain, graph), simulate(ahead, graph)
    assert b.cost.cycles <= a.cost.cycles
    for x, y in zip(a.cost.layers, b.cost.layers, strict=True):
        assert (x.read_bits, x.write_bits) == (y.read_bits, y.write_bits)
    assert b.memory_plan is not None and not b.memory_plan.problems
    for memory, size in b.memory_plan.capacity_bytes.items():
        assert size is None or b.memory_plan.peak_bytes[memory] <= size


# Pairs of layers that run strip by strip -----------------------------------------------------------------------------------------------


def separable() -> Stored:
    """3x3 depthwise on 8 channels of 8 x 8, then 1x1 to 4 channels: maps of 512, 512 and 256 B, weights of 72 and 32 B."""
    return Stored((1, 8, 8, 8)).conv("depthwise", 8, 8, 3, groups=8).conv("pointwise", 4, 8, 1)


def test_a_pair_strip_by_strip(tiny: Any) -> None:
    """1000 B hold the input, the output, all weights, and of the map between two rows of 64 B: 512 + 256 + 104 + 128 B.  One layer after
    the other would need 512 + 512 B for the first: its maps would come and go."""
    taken = {"arrays__mac__runs": "[conv, depthwise, matmul]", "memories__sram__size": "1000 B"}
    plain = simulate(tiny(**taken), separable().graph())
    pair = simulate(tiny(**taken, cascades="[depthwise+pointwise]"), separable().graph())
    assert plain.cost.layers[0].write_bits["dram"] == 512 * 8
    assert [(c.read_bits["dram"], c.write_bits["dram"]) for c in pair.cost.layers[:2]] == [(72 * 8, 0), (32 * 8, 0)]
    assert [c.onchip_bits for c in pair.cost.layers[:2]] == [896 * 8, 896 * 8]
    assert "strip by strip" in pair.cost.layers[0].note
    assert pair.memory_plan is not None
    placed = {(name, size, first, last) for name, _, size, first, last in shown(pair.memory_plan, "sram")}
    assert placed == {
        ("input", 512, 0, 1),
        ("depthwise.quantize.out", 128, 0, 1),
        ("pointwise.quantize.out", 256, 0, 1),
        ("depthwise weights", 72, 0, 1),
        ("pointwise weights", 32, 0, 1),
    }
    assert pair.memory_plan.peak_bytes["sram"] == 1000


def test_one_byte_less_and_the_pair_is_none(tiny: Any) -> None:
    taken = {"arrays__mac__runs": "[conv, depthwise, matmul]", "memories__sram__size": "999 B", "cascades": "[depthwise+pointwise]"}
    assert simulate(tiny(**taken), separable().graph()).cost.layers[0].write_bits["dram"] == 512 * 8
