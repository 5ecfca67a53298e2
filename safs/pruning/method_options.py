"""The options of pruning methods."""

from safs.spec.options import Kind, parse_options
from safs.spec.pruning import PruneSpec


def pruning_options(spec: PruneSpec, kind: type[Kind]) -> Kind:
    """Returns ``spec.options`` as an instance of ``kind``.

    Raises:
        SpecError: an option does not exist or has an invalid value; ``field`` names it.
    """
    return parse_options(kind, spec.options, what=f"pruning method {spec.method!r}", field="prune.options")
