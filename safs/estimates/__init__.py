"""How long a job will take, and how long it took.

``bill`` counts what a job trains, ``time_trainings`` times real trainings of it, ``estimate`` joins the two.
"""

from safs.estimates.actual import beside_actual
from safs.estimates.before_run import estimate_here
from safs.estimates.estimate import Estimate, StageEstimate
from safs.estimates.in_subprocess import estimate_apart
from safs.estimates.workload import Count, StageBill, bill

__all__ = [
    "Count",
    "Estimate",
    "StageBill",
    "StageEstimate",
    "beside_actual",
    "bill",
    "estimate_apart",
    "estimate_here",
]
