"""Arrays: what each kind does with operands of every width, and row-stationary passes against a layer worked by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwsim.arch import Arch
from hwsim.arrays.row_stationary import Nest, Sets, best_sets
from hwsim.cost import LayerCost
from hwsim.errors import HwsimError
from hwsim.io.arch_yaml import load_arch
from hwsim.io.tables import load_tables
from hwsim.language import passes
from hwsim.mac_array import Passes
from hwsim.simulate import price
from hwsim.steps.layer_table import LayerShape, network
from hwsim.steps.lower import lower
from hwsim.steps.place import carry
from hwsim.validate import validate

WIDTHS = (2, 3, 4, 5, 6, 8, 12, 16)
NATIVE, REFUSED = "native", "refused"
PROMOTED = ("promoted to w8a8",) * 5
# chip and array of each kind; what operands of 2, 3, 4, 5, 6, 8, 12 and 16 bits do, and the MACs per multiplier and cycle
DOES: dict[str, tuple[str, str, tuple[str, ...], tuple[float, ...]]] = {
    "systolic": ("systolic_128x128", "systolic", (*PROMOTED, NATIVE, REFUSED, REFUSED), (1,) * 6),
    "fusion": (
        "bitfusion_16x32",
        "fusion_units",
        ("composed", "composed wider", "composed", "composed wider", "composed wider", NATIVE, REFUSED, REFUSED),
        (16, 4, 4, 1, 1, 1),
    ),
    "bit_serial": (
        "haq_bit_serial",
        "bit_serial",
        (*(f"{b * b} passes" for b in (2, 3, 4, 5, 6, 8)), REFUSED, REFUSED),
        (1 / 4, 1 / 9, 1 / 16, 1 / 25, 1 / 36, 1 / 64),
    ),
    "unrolled": ("hexagon_v75", "hmx", (*PROMOTED, NATIVE, "promoted to w16a16", NATIVE), (1, 1, 1, 1, 1, 1, 0.25, 0.25)),
    "tensor_core": (
        "t4",
        "tensor_cores",
        ("promoted to w4a4", "promoted to w4a4", NATIVE, "promoted to w8a8", "promoted to w8a8", NATIVE, REFUSED, REFUSED),
        (2, 2, 2, 1, 1, 1),
    ),
    "cube": ("acl_ascend310", "cube", (*PROMOTED, NATIVE, REFUSED, REFUSED), (1,) * 6),
    "block_engine": ("ethos_u55_128", "mac_engine", (*PROMOTED, NATIVE, REFUSED, REFUSED), (1,) * 6),
    "cmac": ("nvdla_full", "cmac", (*PROMOTED, NATIVE, "promoted to w16a16", NATIVE), (1, 1, 1, 1, 1, 1, 0.5, 0.5)),
    "row_stationary": ("eyeriss_v1", "pe_array", (*("promoted to w16a16",) * 7, NATIVE), (1,) * 8),
}


@pytest.mark.parametrize("kind", DOES)
def test_what_operands_of_every_width_do(kind: str) -> None:
    """Both operands as wide: run as they are, joined of small multipliers, one piece after the other, or as wider ones."""
    chip, array, does, rates = DOES[kind]
    found = [carry(load_arch(chip).arrays[array], f"w{b}a{b}") for b in WIDTHS]
    assert tuple(c.how if c else REFUSED for c in found) == does
    assert tuple(c.rate for c in found if c) == pytest.approx(rates)


def test_weights_alone_go_serially() -> None:
    """NE16 takes a pass for each bit of the weights, whatever the activations are (8 bits at most)."""
    ne16 = load_arch("gap9_ne16").arrays["ne16"]
    assert [(c.how, c.rate) if (c := carry(ne16, f"w{w}a8")) else None for w in (2, 3, 5, 12)] == [
        ("2 passes", 1 / 2),
        ("3 passes", 1 / 3),
        ("5 passes", 1 / 5),
        None,
    ]


def test_channels_lie_on_the_cubes_diagonal() -> None:
    """64 channels of 8 x 8 positions, 3 x 3: 4 positions' fractals, 64 / 16 channels' blocks, 9 taps, over two cores."""
    arch = load_arch("acl_ascend310", {"overheads.per_layer": "0 us"})
    layer = LayerShape("dw", 64, 64, (10, 10), (3, 3), groups=64)
    cost = price(arch, lower(network("net", [layer]), arch)).layers[0]
    assert cost.busy["cube"] == 4 * 4 * 9 // 2


def test_wider_activations_than_weights() -> None:
    """w8a16 is a precision of its own where a chip has it; w4a16 is promoted to it, not to w16a16."""
    hmx = load_arch("hexagon_v75").arrays["hmx"]
    assert [(c.how, c.rate) if (c := carry(hmx, p)) else None for p in ("w8a16", "w4a16", "w16a8")] == [
        (NATIVE, 0.5),
        ("promoted to w8a16", 0.5),
        ("promoted to w16a16", 0.25),
    ]


CONV3 = LayerShape("c3", 256, 384, (13, 13), (3, 3), 1, (1,) * 4, batch=4, weight_bits=16, activation_bits=16, output_bits=16)
PAPER = {"m": 64, "n": 4, "e": 13, "p": 16, "q": 3, "r": 2, "t": 2}


def eyeriss(layer: LayerShape, mapping: dict[str, float] | None, **changes: str) -> LayerCost:
    arch: Arch = load_arch("eyeriss_v1", {f"arrays.pe_array.passes.{k}": v for k, v in changes.items()})
    return price(arch, lower(network("net", [layer]), arch), given={layer.name: mapping} if mapping else None).layers[0]


def test_passes_by_hand() -> None:
    """AlexNet's third layer: 43 x 12 passes of 4 x 16 x 3 x 13 x 3 products, with 100 cycles each to start.

    Buffer words of a pass: inputs 4 x 6 x 15 rows x 15, filters 32 x 6 x 9, sums 4 x 32 x 13 x 13.
    """
    cost = eyeriss(CONV3, PAPER, start="100.0")
    passes = 43 * 12
    assert cost.busy["pe_array"] == passes * (4 * 16 * 3 * 13 * 3 + 100)
    inputs, filters, sums = 4 * 6 * 15 * 15, 32 * 6 * 9, 4 * 32 * 13 * 13
    assert cost.read_bits["glb"] == 16 * (passes * (inputs + filters) + passes * sums * 42 // 43)
    assert cost.write_bits["glb"] == 16 * passes * sums
    assert cost.read_bits["dram"] == 16 * (passes * filters + 4 * 256 * 13 * 13 * 6)


def test_zeros_code_feature_maps_and_idle_multipliers() -> None:
    full, sparse = (eyeriss(replace(CONV3, zeros=z), PAPER) for z in (0.0, 0.5))
    assert sparse.read_bits["glb"] == full.read_bits["glb"]
    assert sparse.energy_pj["mac"] == pytest.approx(full.energy_pj["mac"] / 2)
    inputs = 16 * 4 * 256 * 13 * 13 * 6
    assert full.read_bits["dram"] - sparse.read_bits["dram"] == pytest.approx(inputs / 3)


SPEC = Passes(filter_words=224, input_words=12, sum_words=24, buffer_words=51200, start=350.0)
SHAPES = {
    "many channels": Nest(1, 1, 512, 512, 28, 28, (3, 3), 1, 30),
    "wide map": Nest(3, 1, 64, 64, 224, 224, (3, 3), 1, 226),
    "pointwise": Nest(1, 1, 96, 24, 56, 56, (1, 1), 1, 56),
    "depthwise": Nest(1, 96, 1, 1, 56, 56, (3, 3), 2, 113),
    "tall kernel": Nest(1, 1, 3, 8, 20, 20, (15, 15), 1, 34),
    "dense": Nest(4, 1, 4096, 1000, 1, 1, (1, 1), 1, 1),
}


@pytest.mark.parametrize("name", SHAPES)
def test_searched_mappings_fit_and_do_all_the_work(name: str) -> None:
    x = SHAPES[name]
    s = best_sets(x, SPEC, 12, 14)
    inputs, _, sums = s.words(x)
    assert s.busy(x, 12) <= 168
    assert s.p * s.q * x.kernel[1] <= 224 or s.p == s.q == 1
    assert s.m * sums // (s.p * s.t) + inputs <= 51200
    assert s.passes(x, 12) * s.n * s.p * s.q * x.columns * x.kernel[1] * s.busy(x, 12) >= x.macs


def test_a_searched_mapping_is_no_slower_than_the_papers() -> None:
    assert eyeriss(CONV3, None).total_cycles <= eyeriss(CONV3, PAPER).total_cycles


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"m": 64, "n": 4}, "must give all of m, n, e, p, q, r, t"),
        (PAPER | {"k": 1}, "must name m, n, e, p, q, r, t"),
        (PAPER | {"p": 99}, "must fit the elements"),
        (PAPER | {"m": 6400}, "must fit the elements"),
    ],
)
def test_mappings_that_cannot_be(mapping: dict[str, float], message: str) -> None:
    with pytest.raises(HwsimError, match=message):
        eyeriss(CONV3, mapping)


def test_eyeriss_layers_left_out() -> None:
    """Issue: 10, 5, 20, 15 and 20 %."""
    (found,) = validate(["eyeriss"], load_tables())
    assert [g.verdict for g in found.figures] == ["aim reached"] * 5


def test_sets_by_name() -> None:
    """The strips of the second layer fold: 27 rows take two strips of 14 columns."""
    x = Nest(4, 2, 48, 128, 27, 27, (5, 5), 1, 31)
    assert Sets(64, 1, 27, 16, 2, 1, 1).busy(x, 12) == 135


def test_widening_weights_costs_every_block() -> None:
    """256 x 256 outputs over 1024 products on one core that widens 8 weights a cycle: 4 x 4 blocks of 64 x 64 one after the other."""
    hopper = {"arrays.tensor_cores.cores": "1", "arrays.tensor_cores.unpack": "8 /cycle", "arrays.tensor_cores.block": "{OX: 64, K: 64}"}
    arch = load_arch("h200", hopper)

    def busy(weight_bits: int) -> int:
        layer = LayerShape("fc", 1024, 256, batch=256, weight_bits=weight_bits, real="bfloat16")
        return price(arch, lower(network("net", [layer]), arch)).layers[0].busy["tensor_cores"]

    products = 16 * 64 * 64 * 1024 / (4096 * 0.5) / arch.arrays["tensor_cores"].efficiency["bf16"]
    assert busy(16) == pytest.approx(products, abs=2)
    assert busy(4) == pytest.approx(products + 16 * 64 * 1024 / 8, abs=2)


def test_few_rows_take_their_own_blocks() -> None:
    arch = load_arch("h200")
    found = [LayerShape("fc", 4096, 4096, batch=rows, weight_bits=16, real="bfloat16") for rows in (4, 5)]
    notes = [price(arch, lower(network("net", [layer]), arch)).layers[0].note for layer in found]
    assert ["blocks of 64" in n for n in notes] == [False, True]


def test_a_language_models_passes() -> None:
    """Llama 3.1 8B has 8.03 billion weights, of which 0.53 billion embed tokens; every new token meets all others once."""
    prompt, head, step, last = passes("llama3.1-8b", "w4bf16", 2, (2048, 128))
    weights = [sum(x.channels * x.outputs // x.groups for x in p.layers if x.groups == 1) * p.times for p in (prompt, head)]
    assert weights == [6_979_321_856, 525_336_576]
    assert (step.times, last.times, prompt.whole, head.whole) == (32 * 128, 128, False, True)
    cache = [x for x in step.layers if x.groups > 1]
    assert sum(x.channels * x.outputs // x.groups for x in cache) == 2 * 8 * 128 * (2048 + 64) * 2
    with pytest.raises(HwsimError, match="must be one of"):
        passes("llama9", "bf16", 1, (1, 1))
    with pytest.raises(HwsimError, match="must be fp16, bf16, w4fp16"):
        passes("llama2-7b", "w8a8", 1, (1, 1))


@pytest.mark.slow
def test_four_bit_weights_help_one_sequence_and_hurt_many() -> None:
    """Issue: the sign of the speed-up at batch 1, 8 and 64."""
    (found,) = validate(["modelopt"], load_tables())
    assert [g.verdict for g in found.figures] == ["aim reached"] * 2
