"""The claims of the papers: arms, tables and the results file."""

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.claims import ap_rounds, measuring
from benchmarks.claims.measuring import blank_others, measure_claim, read
from benchmarks.claims.papers import AP_ARMS, CLAIMS, RECIPES, Arm, Claim
from benchmarks.claims.tables import tables
from safs.data import Splits, TensorSplit
from safs.spec.pruning import PruneSpec


def line(arm: str, seed: int, recipe: str, validation: float, test: float) -> dict[str, Any]:
    return {
        "claim": "ap",
        "arm": arm,
        "seed": seed,
        "recipe": recipe,
        "validation": validation,
        "test": test,
        "dead": 0.25,
    }


def splits_of(pixels: torch.Tensor) -> Splits:
    labels, size = torch.arange(len(pixels)) % 10, pixels.shape[-1]
    split = TensorSplit(pixels, labels, torch.tensor([100.0]), torch.tensor([70.0]), 10, 1, size)
    return Splits(split, split, split, 10)


def test_every_arm_is_a_valid_pruning_and_each_claim_compares_arms() -> None:
    for claim in CLAIMS.values():
        assert len(claim.arms) > 1
        assert len(claim.recipes) == 2
        for arm in claim.arms.values():
            PruneSpec.model_validate(arm.prune)


def test_the_better_recipe_by_validation_counts_and_incomplete_seeds_do_not() -> None:
    adam, sgd = RECIPES
    lines = [
        line("ap", 0, adam, validation=0.9, test=0.5),
        line("ap", 0, sgd, validation=0.8, test=0.99),
        line("ap", 1, adam, validation=0.7, test=0.9),
        line("ap", 1, sgd, validation=0.8, test=0.6),
        line("ap", 2, sgd, validation=1.0, test=1.0),
    ]

    assert tables(lines).splitlines()[:3] == [
        "| lenet5, digits, 90% | test accuracy | dead neurons | test accuracy against ap | dead neurons against ap "
        "| seeds |",
        "|---|---|---|---|---|---|",
        "| ap | 55.0 ± 7.1 | 25.0 ± 0.0 |  |  | 2 |",
    ]


def test_differences_from_the_first_arm_are_paired_by_seed() -> None:
    lines = [
        line(arm, seed, recipe, validation=0.9, test=test)
        for recipe in RECIPES
        for arm, tests in (("ap", (0.5, 0.6, 0.9)), ("positive weights", (0.6, 0.72)))
        for seed, test in enumerate(tests)
    ]

    last = tables(lines).splitlines()[-1]

    assert last == "| positive weights | 66.0 ± 8.5 | 25.0 ± 0.0 | +11.0 (-1.7 to +23.7) | +0.0 (+0.0 to +0.0) | 2 |"


def test_random_inputs_leave_the_drawn_pixels_and_no_others() -> None:
    pixels = torch.arange(3 * 64, dtype=torch.uint8).reshape(3, 1, 8, 8)

    blanked = blank_others(splits_of(pixels), torch.tensor([0, 63])).train

    assert isinstance(blanked, TensorSplit)
    flat, before = blanked.images.flatten(1), pixels.flatten(1)
    assert flat[:, [0, 63]].tolist() == before[:, [0, 63]].tolist()
    assert flat[:, 1:63].unique().tolist() == [100]


def test_arms_are_measured_once_with_each_recipe_and_share_a_pruning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (64, 1, 8, 8), generator=draw, dtype=torch.uint8)
    monkeypatch.setattr(measuring, "load", lambda *_: splits_of(pixels))
    monkeypatch.setattr(measuring, "DENSE", 1)
    monkeypatch.setattr(measuring, "PRUNING", 2)
    inputs = {"method": "joint_input"}
    arms = {
        "relu": Arm(inputs, tuning=1),
        "swish": Arm(inputs, tuning=1, operator="swish"),
        "random": Arm(inputs, tuning=1, random_inputs=True),
    }
    claim, results = Claim("mlp", 0.9, arms, image_size=8), tmp_path / "results.jsonl"

    measure_claim("a claim", claim, 0, results)
    measure_claim("a claim", claim, 0, results)

    found = read(results)
    assert [(one["arm"], one["recipe"]) for one in found] == [(arm, recipe) for arm in arms for recipe in RECIPES]
    relu, swish, random = found[::2]
    assert relu["operations"] == swish["operations"]
    assert 0 < random["inputs"] <= relu["inputs"] <= 64
    monkeypatch.setattr(measuring, "code_version", lambda: "another")
    assert read(results) == []


@pytest.mark.exhaustive
def test_the_rounds_of_ap_are_measured_at_falling_densities(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (64, 1, 28, 28), generator=draw, dtype=torch.uint8)
    monkeypatch.setattr(ap_rounds, "load", lambda *_: splits_of(pixels))
    monkeypatch.setattr(measuring, "DENSE", 1)
    monkeypatch.setattr(ap_rounds, "EPOCHS", 1)

    ap_rounds.measure_rounds(0, tmp_path / "results.jsonl")

    lines = read(tmp_path / "results.jsonl")
    assert [one["arm"] for one in lines] == list(AP_ARMS)
    for one in lines:
        assert [seen["live"] for seen in one["rounds"]] == pytest.approx(
            [0.8**number for number in range(11)], abs=1e-4
        )
    assert ap_rounds.rounds_table(lines).splitlines()[2].startswith("| 100% | ")
