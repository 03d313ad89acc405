from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class ActivateRequest(_message.Message):
    __slots__ = ("model", "version", "artifact_ids", "providers", "budget_bytes", "max_batch")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_IDS_FIELD_NUMBER: _ClassVar[int]
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    BUDGET_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    artifact_ids: _containers.RepeatedScalarFieldContainer[str]
    providers: _containers.RepeatedScalarFieldContainer[str]
    budget_bytes: int
    max_batch: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., artifact_ids: _Optional[_Iterable[str]] = ..., providers: _Optional[_Iterable[str]] = ..., budget_bytes: _Optional[int] = ..., max_batch: _Optional[int] = ...) -> None: ...

class ActivateResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("node_id", "agent_version", "state", "model", "version", "artifact_ids", "uptime_seconds")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_IDS_FIELD_NUMBER: _ClassVar[int]
    UPTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    agent_version: str
    state: str
    model: str
    version: int
    artifact_ids: _containers.RepeatedScalarFieldContainer[str]
    uptime_seconds: float
    def __init__(self, node_id: _Optional[str] = ..., agent_version: _Optional[str] = ..., state: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[int] = ..., artifact_ids: _Optional[_Iterable[str]] = ..., uptime_seconds: _Optional[float] = ...) -> None: ...
