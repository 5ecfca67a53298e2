"""How long a job will take, and how long it took.

``bill`` counts what a job trains, ``time_trainings`` times real trainings of it, ``estimate`` joins the two.
"""

from safs.estimates.actual import beside_actual
from safs.estimates.apart import estimate_apart
from safs.estimates.bill import Count, StageBill, bill
from safs.estimates.estimate import Estimate, StageEstimate
from safs.estimates.here import estimate_here

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
