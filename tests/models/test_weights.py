import pytest
import torch
from safetensors.torch import save_file

from safs.errors import WeightsError
from safs.models import build
from safs.models.weights import check_dense_weights, load_dense_weights


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
