"""Web pages for people. Each is an empty frame that its scripts fill from ``/v1``, as any other client would."""
