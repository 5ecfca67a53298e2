"""Estimates of how long a job takes, and the comparison with how long it took.

``workload`` counts the trainings of a job, ``time_trainings`` times some of them, ``estimate`` combines the two.
"""

from safs.estimates.actual import beside_actual
from safs.estimates.before_run import estimate_before_run
from safs.estimates.estimate import Estimate, StageEstimate
from safs.estimates.on_this_machine import estimate_on_this_machine, estimate_untimed
from safs.estimates.workload import Count, StageWorkload, workload

__all__ = [
    "Count",
    "Estimate",
    "StageEstimate",
    "StageWorkload",
    "beside_actual",
    "estimate_before_run",
    "estimate_on_this_machine",
    "estimate_untimed",
    "workload",
]
