"""The results of a run: written as JSON after each measurement, and as one table at the end."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NOT_REACHED = "not reached"
"""Value of a measurement for which no time was left."""


@dataclass
class Sheet:
    """Measurements by part and name, within a limit of time."""

    file: Path
    limit_s: float
    machine: str
    began_s: float = field(default_factory=time.monotonic)
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def left_s(self) -> float:
        """Seconds until the limit."""
        return self.limit_s - (time.monotonic() - self.began_s)

    def measure(self, part: str, name: str, work: Callable[[], Any], unit: str = "") -> Any:
        """Note the result of ``work``, or why there is none. It is not begun after the limit."""
        began = time.monotonic()
        if self.left_s <= 0:
            value: Any = NOT_REACHED
        else:
            try:
                value = work()
            except Exception as error:  # A measurement that fails must not cost the others.
                value = f"failed: {type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
        self.rows.append(
            {"part": part, "name": name, "value": value, "unit": unit, "seconds": round(time.monotonic() - began, 2)}
        )
        self.file.write_text(json.dumps({"machine": self.machine, "rows": self.rows}, indent=1))
        return value

    def table(self) -> str:
        """All measurements as one Markdown table."""
        lines = [f"{self.machine}\n", "| part | measurement | value | unit |", "|---|---|---|---|"]
        for row in self.rows:
            value = row["value"]
            shown = f"{value:,.3g}" if isinstance(value, float) else str(value)
            lines.append(f"| {row['part']} | {row['name']} | {shown} | {row['unit']} |")
        return "\n".join(lines)
