"""Errors in OpenAI's shape."""

import json
import math
from collections.abc import Sequence


class ApiError(Exception):
    """An answer that is an error: status and OpenAI's error object.

    Args:
        status: HTTP status.
        message: One line for the client.
        kind: OpenAI's ``type``.
        code: OpenAI's ``code``.
        param: The field at fault.
        retry_after_s: Sent as ``Retry-After``, rounded up, and ``retry-after-ms``; seconds.
        headers: Further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        kind: str = "invalid_request_error",
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.code = code
        self.param = param
        self.retry_after_s = retry_after_s
        self.extra_headers = headers

    def body(self, request_id: str) -> bytes:
        """Return the JSON body of the answer."""
        error = {
            "message": str(self),
            "type": self.kind,
            "param": self.param,
            "code": self.code,
            "request_id": request_id,
        }
        return json.dumps({"error": error}).encode()

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers that the error adds."""
        headers = list(self.extra_headers)
        if self.retry_after_s is not None:
            headers.append((b"retry-after", str(math.ceil(self.retry_after_s)).encode()))
            milliseconds = math.ceil(self.retry_after_s * 1000)
            headers.append((b"retry-after-ms", str(milliseconds).encode()))
        if self.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if self.status == 405:
            headers.append((b"allow", b"POST"))
        return headers
