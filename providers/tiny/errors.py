"""Errors as the OpenAI API shapes them: a status and `{"error": {message, type, param, code}}`."""

from __future__ import annotations

import json


class ApiError(Exception):
    """A request that is answered with an error. The message is one sentence for a person."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.param = param
        self.code = code

    def body(self) -> str:
        """The JSON document to answer with."""
        error = {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}
        return json.dumps({"error": error})
