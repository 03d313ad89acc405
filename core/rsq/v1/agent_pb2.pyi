from rsq.v1 import registry_pb2 as _registry_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ActivateRequest(_message.Message):
    __slots__ = ("model", "version", "artifact_ids", "providers", "budget_bytes", "max_batch", "peak_bytes", "load_seconds", "objective", "min_accuracy", "pin", "vision_budget_bytes", "text_budget_bytes", "reserve_bytes")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_IDS_FIELD_NUMBER: _ClassVar[int]
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    BUDGET_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_FIELD_NUMBER: _ClassVar[int]
    PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOAD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    MIN_ACCURACY_FIELD_NUMBER: _ClassVar[int]
    PIN_FIELD_NUMBER: _ClassVar[int]
    VISION_BUDGET_BYTES_FIELD_NUMBER: _ClassVar[int]
    TEXT_BUDGET_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESERVE_BYTES_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    artifact_ids: _containers.RepeatedScalarFieldContainer[str]
    providers: _containers.RepeatedScalarFieldContainer[str]
    budget_bytes: int
    max_batch: int
    peak_bytes: _containers.RepeatedScalarFieldContainer[int]
    load_seconds: float
    objective: str
    min_accuracy: float
    pin: str
    vision_budget_bytes: int
    text_budget_bytes: int
    reserve_bytes: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., artifact_ids: _Optional[_Iterable[str]] = ..., providers: _Optional[_Iterable[str]] = ..., budget_bytes: _Optional[int] = ..., max_batch: _Optional[int] = ..., peak_bytes: _Optional[_Iterable[int]] = ..., load_seconds: _Optional[float] = ..., objective: _Optional[str] = ..., min_accuracy: _Optional[float] = ..., pin: _Optional[str] = ..., vision_budget_bytes: _Optional[int] = ..., text_budget_bytes: _Optional[int] = ..., reserve_bytes: _Optional[int] = ...) -> None: ...

class PlanActivationResponse(_message.Message):
    __slots__ = ("side_by_side", "downtime_seconds", "reason")
    SIDE_BY_SIDE_FIELD_NUMBER: _ClassVar[int]
    DOWNTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    side_by_side: bool
    downtime_seconds: float
    reason: str
    def __init__(self, side_by_side: bool = ..., downtime_seconds: _Optional[float] = ..., reason: _Optional[str] = ...) -> None: ...

class ActivateResponse(_message.Message):
    __slots__ = ("side_by_side", "downtime_seconds")
    SIDE_BY_SIDE_FIELD_NUMBER: _ClassVar[int]
    DOWNTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    side_by_side: bool
    downtime_seconds: float
    def __init__(self, side_by_side: bool = ..., downtime_seconds: _Optional[float] = ...) -> None: ...

class RollbackRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class RollbackResponse(_message.Message):
    __slots__ = ("model", "version", "artifact_ids")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_IDS_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    artifact_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., artifact_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class LoadRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class LoadResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UnloadRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class UnloadResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("node_id", "agent_version", "state", "model", "version", "artifact_ids", "uptime_seconds", "models", "device", "resident_bytes", "device_bytes")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_IDS_FIELD_NUMBER: _ClassVar[int]
    UPTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    DEVICE_BYTES_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    agent_version: str
    state: str
    model: str
    version: int
    artifact_ids: _containers.RepeatedScalarFieldContainer[str]
    uptime_seconds: float
    models: _containers.RepeatedCompositeFieldContainer[ModelStatus]
    device: str
    resident_bytes: int
    device_bytes: int
    def __init__(self, node_id: _Optional[str] = ..., agent_version: _Optional[str] = ..., state: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[int] = ..., artifact_ids: _Optional[_Iterable[str]] = ..., uptime_seconds: _Optional[float] = ..., models: _Optional[_Iterable[_Union[ModelStatus, _Mapping]]] = ..., device: _Optional[str] = ..., resident_bytes: _Optional[int] = ..., device_bytes: _Optional[int] = ...) -> None: ...

class ModelStatus(_message.Message):
    __slots__ = ("model", "version", "previous_version", "state", "idle_seconds", "budget_bytes", "towers")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    IDLE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BUDGET_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOWERS_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    previous_version: int
    state: str
    idle_seconds: float
    budget_bytes: int
    towers: _containers.RepeatedCompositeFieldContainer[TowerStatus]
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., previous_version: _Optional[int] = ..., state: _Optional[str] = ..., idle_seconds: _Optional[float] = ..., budget_bytes: _Optional[int] = ..., towers: _Optional[_Iterable[_Union[TowerStatus, _Mapping]]] = ...) -> None: ...

class TowerStatus(_message.Message):
    __slots__ = ("tower", "artifact_id", "variant", "provider", "workers", "threads", "max_batch", "waiting", "items", "refused", "p50_ms", "p99_ms", "mean_batch", "latency_target_ms")
    TOWER_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_ID_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    P50_MS_FIELD_NUMBER: _ClassVar[int]
    P99_MS_FIELD_NUMBER: _ClassVar[int]
    MEAN_BATCH_FIELD_NUMBER: _ClassVar[int]
    LATENCY_TARGET_MS_FIELD_NUMBER: _ClassVar[int]
    tower: _registry_pb2.Tower
    artifact_id: str
    variant: str
    provider: str
    workers: int
    threads: int
    max_batch: int
    waiting: int
    items: int
    refused: int
    p50_ms: float
    p99_ms: float
    mean_batch: float
    latency_target_ms: float
    def __init__(self, tower: _Optional[_Union[_registry_pb2.Tower, str]] = ..., artifact_id: _Optional[str] = ..., variant: _Optional[str] = ..., provider: _Optional[str] = ..., workers: _Optional[int] = ..., threads: _Optional[int] = ..., max_batch: _Optional[int] = ..., waiting: _Optional[int] = ..., items: _Optional[int] = ..., refused: _Optional[int] = ..., p50_ms: _Optional[float] = ..., p99_ms: _Optional[float] = ..., mean_batch: _Optional[float] = ..., latency_target_ms: _Optional[float] = ...) -> None: ...
