"""Makes the tests of the pages a package for pytest, so that their browser ends with them.

Playwright keeps an event loop in the thread of the tests as long as its browser is open.
"""
