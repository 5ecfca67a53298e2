"""Settings of a process that decide how a GPU computes."""

import torch


def compute_repeatably(device: str) -> None:
    """Compute float32 as float32 on a GPU, and convolutions by algorithms that give the same numbers each time.

    PyTorch would compute convolutions in TF32. Without this a trial that is cut and continued ends elsewhere than one
    that is not. See decision 048. Does nothing for other devices.
    """
    if torch.device(device).type != "cuda":
        return
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]  # missing in torch's types
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def computes_in_bfloat16(device: torch.device) -> bool:
    """True for a GPU that computes in bfloat16 without emulating it."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
