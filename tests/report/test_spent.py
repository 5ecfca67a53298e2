from safs.events.faults import Faults
from safs.report import spent

TOOK = {
    "actual": {"seconds": 95.0, "trials": 12, "epochs": 40},
    "estimate": {"seconds": 90.0, "low_s": 60.0, "high_s": 120.0},
}


def test_faults_are_mentioned_only_if_there_were_some() -> None:
    quiet = TOOK | {"faults": {"runners_lost": 0, "workers_lost": 0, "trials_repeated": 0, "seconds_lost": 0.0}}
    stormy = TOOK | {"faults": {"runners_lost": 2, "workers_lost": 1, "trials_repeated": 3, "seconds_lost": 12.0}}

    assert spent(TOOK) == spent(quiet) == "took 95 s: 12 trainings, 40 epochs; estimated: 90 s (60 to 120)"
    survived = "; survived the loss of 2 runners and 1 worker: 3 trials were repeated, 12 s lost"
    assert spent(stormy) == f"{spent(TOOK)}{survived}"


def test_faults_add_up() -> None:
    earlier = Faults(runners_lost=1, workers_lost=1, trials_repeated=4, seconds_lost=3.0)

    assert earlier.with_lost_worker(1, 0.5) == Faults(1, 2, 5, 3.5)
