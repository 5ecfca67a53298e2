"""Results in forms that run elsewhere, and faster on a CPU where zeros can be turned into time.

``formats`` names the formats and imports no torch; ``export`` writes and checks them.
"""
