"""Errors of SAFS.

SafsError
├── UnknownNameError      a name that is in no registry
├── SpecError             a job spec whose parts do not fit each other
├── SparsityError         a sparsity that this network cannot have
├── DataError             a data set that is missing or malformed
├── WeightsError          a state dict that is malformed or does not fit the architecture
├── SurgeryError          a model that torch.fx cannot trace
├── NetworkError          a declared network that is malformed
│   ├── UnsupportedOperationError   ... that uses an operation or a module outside of the closed table
│   ├── NetworkMismatchError        ... that does not fit the data of the job
│   └── NetworkTooLargeError        ... that exceeds a limit
├── CompactionError       a model from which no whole units can be removed
├── OutputError           a folder that cannot take a result
├── CheckpointError       a result folder that is incomplete, altered or not what it says
├── MissingExtraError     a package of an optional extra that is not installed
├── ExportError           a result that cannot be written in a format, or an export that computes something else
├── TrainingError         a training that the job cannot do without (dense, final) broke down
└── Interrupted           the run must end; raised by ``report``, not caught by the pipeline
    ├── Cancelled
    └── TimeLimitReached

Each error has a stable ``code`` for programs, and ``field``, a dotted path in the job spec, or None if unknown.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class SafsError(Exception):
    """Root of this package's errors. Messages name the value and the way out."""

    code = "safs_error"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        self.message = legible(message)
        super().__init__(self.message)
        self.field = field

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle all attributes, so that an error of a trial's process arrives unchanged."""
        return _rebuild, (type(self), self.__dict__)


def _rebuild(kind: type[SafsError], state: dict[str, object]) -> SafsError:
    error = kind.__new__(kind)
    Exception.__init__(error, state["message"])
    error.__dict__.update(state)
    return error


def error_of(code: str, message: str, field: str | None) -> SafsError:
    """The error with this ``code``, which another process raised; a plain ``SafsError`` if no error has the code.

    >>> error_of("invalid_spec", "no trials", "tune.trials")
    SpecError('no trials')
    """
    error = _rebuild(_kinds(SafsError).get(code, SafsError), {"message": legible(message), "field": field})
    if error.code != code:
        error.code = code
    return error


def _kinds(root: type[SafsError]) -> dict[str, type[SafsError]]:
    """Code -> the class that has it and is the nearest to ``root``."""
    found = {root.code: root}
    for kind in root.__subclasses__():
        found = _kinds(kind) | found
    return found


def legible(message: str) -> str:
    r"""Escape NUL and lone surrogates, which databases and JSON cannot hold.

    File names can contain them, and exceptions quote file names.

    >>> legible("no picture: caf\udce9.png")
    'no picture: caf\\udce9.png'
    """
    return message.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


class UnknownNameError(SafsError):
    """A name that is in no registry. The message lists the known names, the closest first."""

    code = "unknown_name"

    def __init__(self, kind: str, name: str, known: Iterable[str], *, field: str | None = None) -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        # A name without its prefix comes first: "resnet50" means "torchvision/resnet50".
        tails = [each for each in self.known if each.endswith(f"/{name.rpartition('/')[2].lower()}")]
        close = list(dict.fromkeys([*tails, *get_close_matches(name, self.known, n=3, cutoff=0.5)]))[:3]
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        super().__init__(f"unknown {kind} {name!r}.{hint} Known: {', '.join(self.known)}.", field=field)


class SpecError(SafsError):
    """A job spec whose parts do not fit each other."""

    code = "invalid_spec"


class SparsityError(SafsError):
    """A sparsity that this network cannot have under the chosen distribution."""

    code = "impossible_sparsity"


class DataError(SafsError):
    """A data set that is missing or malformed."""

    code = "data_unavailable"


class WeightsError(SafsError):
    """A state dict that is malformed or does not fit the architecture."""

    code = "invalid_weights"


class SurgeryError(SafsError):
    """A model that torch.fx cannot trace. The message names the line where tracing stopped."""

    code = "untraceable_model"


class NetworkError(SafsError):
    """A declared network (``safs.models.declared``) that is malformed."""

    code = "invalid_network"


class UnsupportedOperationError(NetworkError):
    """A declared network that uses an operation or a module outside of the closed table; names the nearest known."""

    code = "unsupported_operation"


class NetworkMismatchError(NetworkError):
    """A declared network whose classes, channels or image size do not fit the data of the job."""

    code = "network_mismatch"


class NetworkTooLargeError(NetworkError):
    """A declared network that exceeds a limit on its document, its values or its cost."""

    code = "network_too_large"


class CompactionError(SafsError):
    """A model from which no whole units (filters, neurons) can be removed. The message says what to choose instead."""

    code = "incompressible_model"


class OutputError(SafsError):
    """A folder for results or for reuse that cannot be written, or a disk without room for the result."""

    code = "output_unavailable"


class CheckpointError(SafsError):
    """A result folder that is incomplete, altered or not what it says."""

    code = "invalid_checkpoint"


class MissingExtraError(SafsError):
    """A package of an optional extra that is not installed. The message says what to install."""

    code = "missing_extra"

    def __init__(self, needed_for: str, package: str, extra: str) -> None:
        super().__init__(f"{needed_for} needs {package}, which is not installed: pip install 'safs-service[{extra}]'")


class ExportError(SafsError):
    """A result that cannot be written in a format, or an export that does not compute what the result computes."""

    code = "export_failed"


class TrainingError(SafsError):
    """A training that the job cannot do without (the dense network, a final candidate) broke down."""

    code = "training_failed"


class Interrupted(SafsError):
    """The run must end. ``report`` raises it, and the pipeline does not catch it."""

    code = "interrupted"


class Cancelled(Interrupted):
    """The user asked the job to stop."""

    code = "cancelled"


class TimeLimitReached(Interrupted):
    """``resources.time_limit_s`` has passed."""

    code = "time_limit"
