"""How long a job will take, and how long it took.

``workload`` counts what a job trains, ``time_trainings`` times real trainings of it, ``estimate`` joins the two.
"""

from safs.estimates.actual import beside_actual
from safs.estimates.before_run import estimate_before_run
from safs.estimates.estimate import Estimate, StageEstimate
from safs.estimates.in_subprocess import estimate_in_subprocess
from safs.estimates.workload import Count, StageWorkload, workload

__all__ = [
    "Count",
    "Estimate",
    "StageEstimate",
    "StageWorkload",
    "beside_actual",
    "estimate_before_run",
    "estimate_in_subprocess",
    "workload",
]
