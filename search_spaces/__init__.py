"""Search spaces as ConfigSpaces, built from a job's spec and its network's sites."""

from safs.spaces import Spaces
from search_spaces.activations import activation_space
from search_spaces.fine_tuning import fine_tuning_space, recipe_from

SPACES = Spaces(activation_space, fine_tuning_space, recipe_from)
"""What ``safs.pipeline.run`` is given."""
