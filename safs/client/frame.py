"""All trials of a job as a pandas DataFrame, from the columns that the service sends."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from safs.client.errors import ServiceError

if TYPE_CHECKING:
    from pandas import DataFrame

_COUNTS = ("number", "epochs", "seed", "horizon", "continues", "best_epoch")
_NUMBERS = ("loss", "accuracy", "cross_entropy", "seconds")


def trials_frame(answer: Mapping[str, Any]) -> "DataFrame":
    """A row for each trial in the order in which they ran.

    The columns are those of a trial (counts as nullable integers, ``started_at`` and ``finished_at`` as times in UTC),
    ``operator:`` and the site for each site, and each hyperparameter under its name.

    Args:
        answer: the response to ``GET /v1/jobs/{id}/trials/columns``.

    Raises:
        ServiceError: pandas is not installed (``no_pandas``).
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ServiceError("no_pandas", "a DataFrame needs pandas: pip install pandas") from error

    columns = answer["columns"]

    def texts(codes: list[int | None], values: list[str]) -> Any:
        return pd.Categorical.from_codes([-1 if code is None else code for code in codes], values)

    origin = pd.Timestamp(answer["origin_at"] or "1970-01-01T00:00:00Z")
    table = {name: texts(columns[name], answer[f"{name}s"]) for name in ("stage", "state")}
    table |= {name: pd.array(columns[name], dtype="Int64") for name in _COUNTS}
    table |= {name: pd.array(columns[name], dtype="Float64") for name in _NUMBERS}
    table |= {name: texts(columns[name], answer["reasons"]) for name in ("error", "left")}
    table["recalled"] = texts(columns["recalled"], answer["jobs"])
    for name in ("started", "finished"):
        table[f"{name}_at"] = origin + pd.to_timedelta(columns[f"{name}_s"], unit="s").round("ms")
    table |= {f"operator:{site}": texts(codes, answer["operators"]) for site, codes in answer["sites"].items()}
    table |= {name: pd.Series(values).convert_dtypes() for name, values in answer["hyperparameters"].items()}
    return pd.DataFrame(table)
