"""What people see of a finished job: the comparison's rows, and the picture of the search.

Both read report.json alone, so that they can be made again from a downloaded result.
"""

from safs.report.comparison import ComparisonRow, comparison_rows
from safs.report.picture import draw_picture
from safs.report.spent import spent

__all__ = ["ComparisonRow", "comparison_rows", "draw_picture", "spent"]
