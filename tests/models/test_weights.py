import pytest
import torch
from safetensors.torch import save_file

from safs.errors import WeightsError
from safs.models import build
from safs.models.weights import Head, check_dense_weights, count_zeros, load_dense_weights


def lenet(seed: int = 0) -> torch.nn.Module:
    return build("lenet5", channels=1, classes=10, image_size=28, seed=seed)


def test_weights_load_exactly(tmp_path):
    source, target = lenet(1), lenet(2)
    save_file(source.state_dict(), tmp_path / "w.safetensors")

    load_dense_weights(tmp_path / "w.safetensors", target)

    assert all(torch.equal(value, target.state_dict()[name]) for name, value in source.state_dict().items())


def test_half_precision_is_converted_to_float32(tmp_path):
    source, target = lenet(1), lenet(2)
    save_file({name: value.half() for name, value in source.state_dict().items()}, tmp_path / "w.safetensors")

    load_dense_weights(tmp_path / "w.safetensors", target)

    assert target.conv1.weight.dtype == torch.float32
    assert torch.equal(target.conv1.weight, source.conv1.weight.half().float())


def test_a_network_that_reads_a_version_from_its_state_loads(tmp_path):
    source, target = (
        build("torchvision/mnasnet0_5", channels=3, classes=4, image_size=32, seed=seed) for seed in (1, 2)
    )
    save_file(source.state_dict(), tmp_path / "w.safetensors")

    load_dense_weights(tmp_path / "w.safetensors", target)

    assert all(torch.equal(value, target.state_dict()[name]) for name, value in source.state_dict().items())


def test_the_check_accepts_a_model_on_the_meta_device(tmp_path):
    save_file(lenet().state_dict(), tmp_path / "w.safetensors")

    with torch.device("meta"):
        model = lenet()

    check_dense_weights(tmp_path / "w.safetensors", model)


def _with_another_head(path, classes=100):
    """Writes LeNet's state with a last layer of ``classes`` classes, and returns it."""
    state = lenet(1).state_dict() | {"fc3.weight": torch.ones(classes, 84), "fc3.bias": torch.ones(classes)}
    save_file(state, path)
    return state


def test_another_number_of_classes_offers_a_fresh_classifier(tmp_path):
    _with_another_head(tmp_path / "w.safetensors")

    with pytest.raises(
        WeightsError, match=r"classifier \(fc3\) has 100 classes in the file, and the data 10\. Set model.h"
    ):
        check_dense_weights(tmp_path / "w.safetensors", lenet(), Head(classes=10))


def test_nothing_is_offered_if_other_weights_differ_too(tmp_path):
    state = _with_another_head(tmp_path / "w.safetensors")
    save_file(state | {"fc2.weight": torch.ones(84, 7)}, tmp_path / "w.safetensors")

    with pytest.raises(WeightsError) as caught:
        check_dense_weights(tmp_path / "w.safetensors", lenet(), Head(classes=10))
    assert "model.head" not in str(caught.value)
    with pytest.raises(WeightsError, match=r"fc2\.weight has shape"):
        check_dense_weights(tmp_path / "w.safetensors", lenet(), Head(classes=10, reset=True))


def test_a_fresh_classifier_keeps_the_networks_own_weights_and_takes_the_others(tmp_path):
    state, target, fresh = _with_another_head(tmp_path / "w.safetensors"), lenet(2), lenet(2)
    head = Head(classes=10, reset=True)

    notes = check_dense_weights(tmp_path / "w.safetensors", target, head)
    load_dense_weights(tmp_path / "w.safetensors", target, head)

    assert notes == ("the classifier (fc3) starts fresh, with 10 classes, not the 100 of the file.",)
    assert torch.equal(target.fc3.weight, fresh.fc3.weight)
    assert torch.equal(target.fc2.weight, state["fc2.weight"])


def test_a_classifier_of_the_same_classes_is_reset_if_the_job_says_so(tmp_path):
    save_file(lenet(1).state_dict(), tmp_path / "w.safetensors")
    target, fresh, head = lenet(2), lenet(2), Head(classes=10, reset=True)

    notes = check_dense_weights(tmp_path / "w.safetensors", target, head)
    load_dense_weights(tmp_path / "w.safetensors", target, head)

    assert notes == ("the classifier (fc3) starts fresh, with 10 classes.",)
    assert torch.equal(target.fc3.bias, fresh.fc3.bias)


def test_two_classifiers_are_reset_together(tmp_path):
    networks = [
        torch.nn.ModuleDict(
            {"stem": torch.nn.Linear(4, 6), **{name: torch.nn.Linear(6, classes) for name in ("a", "b")}}
        )
        for classes in (7, 5)
    ]
    save_file(networks[0].state_dict(), tmp_path / "w.safetensors")

    notes = check_dense_weights(tmp_path / "w.safetensors", networks[1], Head(classes=5, reset=True))

    assert notes == ("the classifier (a and b) starts fresh, with 5 classes, not the 7 of the file.",)


def test_zeros_are_counted_as_they_load(tmp_path):
    state = _with_another_head(tmp_path / "w.safetensors")
    state["fc2.weight"][:3] = 0
    state["fc1.weight"][0, 0] = -0.0
    save_file({f"module.{name}": value.double() for name, value in state.items()}, tmp_path / "w.safetensors")

    found = count_zeros(
        tmp_path / "w.safetensors", lenet(), ["fc1.weight", "fc2.weight", "fc3.weight"], Head(10, reset=True)
    )

    assert found == {"fc1.weight": 1, "fc2.weight": 3 * 120, "fc3.weight": 0}


def test_mismatches_are_listed(tmp_path):
    state = lenet().state_dict()
    del state["fc1.bias"]
    state["extra"] = torch.zeros(2)
    state["fc3.weight"] = torch.zeros(100, 84)
    state["conv1.bias"] = torch.zeros(6, dtype=torch.int64)
    save_file(state, tmp_path / "w.safetensors")

    with pytest.raises(WeightsError) as caught:
        check_dense_weights(tmp_path / "w.safetensors", lenet())

    assert str(caught.value) == (
        "the weights do not fit LeNet5: fc1.bias is missing; extra is not a name of this network; "
        "conv1.bias has dtype I64, the network torch.float32; "
        "fc3.weight has shape [100, 84], the network [10, 84]"
    )
    assert caught.value.field == "model.weights"


def test_mismatches_beyond_the_limit_are_counted(tmp_path):
    save_file({"nothing": torch.zeros(1)}, tmp_path / "w.safetensors")

    with pytest.raises(WeightsError, match=r"conv1.weight is missing; .*; and 6 more\. .*: nothing$"):
        check_dense_weights(tmp_path / "w.safetensors", lenet())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a readable safetensors file"),
        (b"PK\x03\x04 a pickle", r"a file of torch\.save"),
        (b"\xff" * 64, "not a readable safetensors file"),
    ],
)
def test_a_file_that_is_not_safetensors_is_refused(tmp_path, content, message):
    (tmp_path / "w.safetensors").write_bytes(content)

    with pytest.raises(WeightsError, match=rf"w.safetensors: {message}"):
        check_dense_weights(tmp_path / "w.safetensors", lenet())


def test_a_truncated_file_is_refused(tmp_path):
    save_file(lenet().state_dict(), tmp_path / "w.safetensors")
    whole = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "w.safetensors").write_bytes(whole[:-100])

    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        load_dense_weights(tmp_path / "w.safetensors", lenet())


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"none.safetensors: not a readable"):
        check_dense_weights(tmp_path / "none.safetensors", lenet())


def test_weights_that_are_not_finite_are_refused_before_any_is_loaded(tmp_path):
    state, model = lenet(1).state_dict(), lenet(2)
    state["fc3.bias"][0] = float("nan")
    save_file(state, tmp_path / "w.safetensors")
    before = model.conv1.weight.clone()

    with pytest.raises(WeightsError, match=r"fc3.bias has values that are not finite"):
        load_dense_weights(tmp_path / "w.safetensors", model)

    assert torch.equal(model.conv1.weight, before)
