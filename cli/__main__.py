"""``python -m cli`` is ``safs``."""

from cli.main import main

main()
