"""Search spaces as ConfigSpaces, built from a job's spec and the sites of its network."""

from safs.pipeline.spaces import Spaces
from search_spaces.activations import activation_space, operators_from
from search_spaces.fine_tuning import fine_tuning_space, recipe_from
from search_spaces.joint import joint_space
from search_spaces.points import config_from, firsts
from search_spaces.starts import start_space

SPACES = Spaces(
    starts=start_space,
    activations=activation_space,
    fine_tuning=fine_tuning_space,
    joint=joint_space,
    operators_from=operators_from,
    recipe_from=recipe_from,
    config_from=config_from,
    firsts=firsts,
)
"""The search spaces for ``safs.pipeline.run.run_job``."""
