"""The options of pruning methods."""

from safs.spec.job import PruneSpec
from safs.spec.options import Kind, parse_options


def pruning_options(spec: PruneSpec, kind: type[Kind]) -> Kind:
    """``spec.options`` as ``kind``.

    Raises:
        SpecError: an option that does not exist or has no good value; ``field`` names it.
    """
    return parse_options(kind, spec.options, what=f"pruning method {spec.method!r}", field="prune.options")
