"""The comparison and the picture of a finished job.

Both read report.json alone, so they can be made again from a downloaded result.
"""

from safs.report.comparison import ComparisonRow, comparison_rows
from safs.report.deployed import deployed
from safs.report.front import FrontRow, front_rows
from safs.report.picture import draw_picture
from safs.report.spent import spent

__all__ = ["ComparisonRow", "FrontRow", "comparison_rows", "deployed", "draw_picture", "front_rows", "spent"]
