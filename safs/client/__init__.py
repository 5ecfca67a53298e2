"""A client of the service: submit a job, wait for it, download its result. Imports no torch.

The address comes from ``SAFS_URL`` or ``Client(url)``, the API key from ``SAFS_API_KEY`` or ``Client(api_key=...)``.

>>> from safs.client import Client
>>> folder = (  # doctest: +SKIP
...     Client("http://127.0.0.1:8000")
...     .submit(model={"architecture": "lenet5"}, data={"dataset": "digits"}, sparsity=0.99)
...     .wait()
...     .download("result")
... )
>>> network = safs.load(folder)  # doctest: +SKIP
"""

from safs.client.async_client import AsyncClient, AsyncJob
from safs.client.connection import Backoff
from safs.client.errors import JobFailed, ServiceError
from safs.client.job import RemoteJob
from safs.client.service import Client
from safs.client.stream import Event

__all__ = ["AsyncClient", "AsyncJob", "Backoff", "Client", "Event", "JobFailed", "RemoteJob", "ServiceError"]
