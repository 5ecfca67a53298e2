"""Formats in which a result can be exported. Imports no torch, so the API, the command and the client can read it."""

from dataclasses import dataclass

from safs.registry import Registry
from safs.result_folder import CHECKPOINT, COMPACT


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """A format of exports."""

    name: str
    files: tuple[str, ...]
    """Names of the written files, the main one first."""
    media_type: str
    """Media type of the file that the API answers with."""
    summary: str
    extra: str | None = None
    """Extra of the package that the format needs."""
    beside: tuple[str, ...] = ()
    """Artifact names of the result's own files that belong beside them."""

    @property
    def download(self) -> str:
        """Name of the file that the API answers with: the only one, or a zip of all."""
        return self.files[0] if len(self.files) == 1 else f"network-{self.name}.zip"


FORMATS: Registry[ExportFormat] = Registry(
    "export format",
    {
        export_format.name: export_format
        for export_format in (
            ExportFormat(
                "compact",
                (COMPACT.filename,),
                COMPACT.media_type,
                "The checkpoint with coded zeros, as small as its sparsity allows; safs.load and safs verify read it.",
                "sparse",
                beside=("config", "network"),
            ),
            ExportFormat(
                "onnx",
                ("network.onnx",),
                "application/octet-stream",
                "ONNX in one file, for onnxruntime and others; any batch size.",
                "onnx",
            ),
            ExportFormat(
                "pt2",
                ("network.pt2",),
                "application/octet-stream",
                "A program of torch.export, for torch.export.load; any batch size.",
            ),
            ExportFormat(
                "torch",
                ("network.py", CHECKPOINT.filename),
                "application/zip",
                "Plain PyTorch code of the network with its operators, and its weights.",
            ),
            ExportFormat(
                "c",
                ("network.c",),
                "text/x-c",
                "One C11 file with the live weights and the forward pass, for devices without Python.",
                "sparse",
            ),
        )
    },
)
"""Name, as in ``safs export --format`` and ``GET /v1/jobs/{id}/exports/{format}`` -> its format."""
