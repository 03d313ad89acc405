from rsq.v1 import embedding_pb2 as _embedding_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Window(_message.Message):
    __slots__ = ("x", "y", "width", "height")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    x: int
    y: int
    width: int
    height: int
    def __init__(self, x: _Optional[int] = ..., y: _Optional[int] = ..., width: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class BoundingBox(_message.Message):
    __slots__ = ("west", "south", "east", "north")
    WEST_FIELD_NUMBER: _ClassVar[int]
    SOUTH_FIELD_NUMBER: _ClassVar[int]
    EAST_FIELD_NUMBER: _ClassVar[int]
    NORTH_FIELD_NUMBER: _ClassVar[int]
    west: float
    south: float
    east: float
    north: float
    def __init__(self, west: _Optional[float] = ..., south: _Optional[float] = ..., east: _Optional[float] = ..., north: _Optional[float] = ...) -> None: ...

class Position(_message.Message):
    __slots__ = ("longitude", "latitude")
    LONGITUDE_FIELD_NUMBER: _ClassVar[int]
    LATITUDE_FIELD_NUMBER: _ClassVar[int]
    longitude: float
    latitude: float
    def __init__(self, longitude: _Optional[float] = ..., latitude: _Optional[float] = ...) -> None: ...

class Polygon(_message.Message):
    __slots__ = ("corners",)
    CORNERS_FIELD_NUMBER: _ClassVar[int]
    corners: _containers.RepeatedCompositeFieldContainer[Position]
    def __init__(self, corners: _Optional[_Iterable[_Union[Position, _Mapping]]] = ...) -> None: ...

class Payload(_message.Message):
    __slots__ = ("window", "bbox", "datetime", "tags", "footprint", "stamp")
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    BBOX_FIELD_NUMBER: _ClassVar[int]
    DATETIME_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    FOOTPRINT_FIELD_NUMBER: _ClassVar[int]
    STAMP_FIELD_NUMBER: _ClassVar[int]
    window: Window
    bbox: BoundingBox
    datetime: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    footprint: Polygon
    stamp: str
    def __init__(self, window: _Optional[_Union[Window, _Mapping]] = ..., bbox: _Optional[_Union[BoundingBox, _Mapping]] = ..., datetime: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., footprint: _Optional[_Union[Polygon, _Mapping]] = ..., stamp: _Optional[str] = ...) -> None: ...

class IndexRequest(_message.Message):
    __slots__ = ("collection", "uri", "image", "payload")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    collection: str
    uri: str
    image: bytes
    payload: Payload
    def __init__(self, collection: _Optional[str] = ..., uri: _Optional[str] = ..., image: _Optional[bytes] = ..., payload: _Optional[_Union[Payload, _Mapping]] = ...) -> None: ...

class IndexResponse(_message.Message):
    __slots__ = ("uri", "error")
    URI_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    uri: str
    error: _embedding_pb2.ItemError
    def __init__(self, uri: _Optional[str] = ..., error: _Optional[_Union[_embedding_pb2.ItemError, _Mapping]] = ...) -> None: ...

class Origin(_message.Message):
    __slots__ = ("uri", "window", "stamp")
    URI_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    STAMP_FIELD_NUMBER: _ClassVar[int]
    uri: str
    window: Window
    stamp: str
    def __init__(self, uri: _Optional[str] = ..., window: _Optional[_Union[Window, _Mapping]] = ..., stamp: _Optional[str] = ...) -> None: ...

class FindStoredRequest(_message.Message):
    __slots__ = ("collection", "origins")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    ORIGINS_FIELD_NUMBER: _ClassVar[int]
    collection: str
    origins: _containers.RepeatedCompositeFieldContainer[Origin]
    def __init__(self, collection: _Optional[str] = ..., origins: _Optional[_Iterable[_Union[Origin, _Mapping]]] = ...) -> None: ...

class FindStoredResponse(_message.Message):
    __slots__ = ("stored",)
    STORED_FIELD_NUMBER: _ClassVar[int]
    stored: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, stored: _Optional[_Iterable[bool]] = ...) -> None: ...

class QueryPart(_message.Message):
    __slots__ = ("text", "image", "vector", "like", "weight")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    LIKE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    text: str
    image: bytes
    vector: _embedding_pb2.Vectors
    like: Origin
    weight: float
    def __init__(self, text: _Optional[str] = ..., image: _Optional[bytes] = ..., vector: _Optional[_Union[_embedding_pb2.Vectors, _Mapping]] = ..., like: _Optional[_Union[Origin, _Mapping]] = ..., weight: _Optional[float] = ...) -> None: ...

class Filter(_message.Message):
    __slots__ = ("bbox", "polygon", "since", "until", "all_tags", "any_tags", "uri_prefix")
    BBOX_FIELD_NUMBER: _ClassVar[int]
    POLYGON_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    ALL_TAGS_FIELD_NUMBER: _ClassVar[int]
    ANY_TAGS_FIELD_NUMBER: _ClassVar[int]
    URI_PREFIX_FIELD_NUMBER: _ClassVar[int]
    bbox: BoundingBox
    polygon: Polygon
    since: str
    until: str
    all_tags: _containers.RepeatedScalarFieldContainer[str]
    any_tags: _containers.RepeatedScalarFieldContainer[str]
    uri_prefix: str
    def __init__(self, bbox: _Optional[_Union[BoundingBox, _Mapping]] = ..., polygon: _Optional[_Union[Polygon, _Mapping]] = ..., since: _Optional[str] = ..., until: _Optional[str] = ..., all_tags: _Optional[_Iterable[str]] = ..., any_tags: _Optional[_Iterable[str]] = ..., uri_prefix: _Optional[str] = ...) -> None: ...

class Diversity(_message.Message):
    __slots__ = ("relevance", "fetch")
    RELEVANCE_FIELD_NUMBER: _ClassVar[int]
    FETCH_FIELD_NUMBER: _ClassVar[int]
    relevance: float
    fetch: int
    def __init__(self, relevance: _Optional[float] = ..., fetch: _Optional[int] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("collection", "parts", "space_id", "filter", "limit", "offset", "min_score", "per_uri", "diversity", "collapse_cosine", "exact")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    PER_URI_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    COLLAPSE_COSINE_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    collection: str
    parts: _containers.RepeatedCompositeFieldContainer[QueryPart]
    space_id: str
    filter: Filter
    limit: int
    offset: int
    min_score: float
    per_uri: int
    diversity: Diversity
    collapse_cosine: float
    exact: bool
    def __init__(self, collection: _Optional[str] = ..., parts: _Optional[_Iterable[_Union[QueryPart, _Mapping]]] = ..., space_id: _Optional[str] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., min_score: _Optional[float] = ..., per_uri: _Optional[int] = ..., diversity: _Optional[_Union[Diversity, _Mapping]] = ..., collapse_cosine: _Optional[float] = ..., exact: bool = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("hits", "space_id", "timing", "search_ms")
    HITS_FIELD_NUMBER: _ClassVar[int]
    SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    SEARCH_MS_FIELD_NUMBER: _ClassVar[int]
    hits: _containers.RepeatedCompositeFieldContainer[Hit]
    space_id: str
    timing: _embedding_pb2.Timing
    search_ms: float
    def __init__(self, hits: _Optional[_Iterable[_Union[Hit, _Mapping]]] = ..., space_id: _Optional[str] = ..., timing: _Optional[_Union[_embedding_pb2.Timing, _Mapping]] = ..., search_ms: _Optional[float] = ...) -> None: ...

class Hit(_message.Message):
    __slots__ = ("score", "probability", "uri", "payload", "artifact_id")
    SCORE_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_ID_FIELD_NUMBER: _ClassVar[int]
    score: float
    probability: float
    uri: str
    payload: Payload
    artifact_id: str
    def __init__(self, score: _Optional[float] = ..., probability: _Optional[float] = ..., uri: _Optional[str] = ..., payload: _Optional[_Union[Payload, _Mapping]] = ..., artifact_id: _Optional[str] = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("collection", "uris", "uri_prefix", "outdated")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    URIS_FIELD_NUMBER: _ClassVar[int]
    URI_PREFIX_FIELD_NUMBER: _ClassVar[int]
    OUTDATED_FIELD_NUMBER: _ClassVar[int]
    collection: str
    uris: _containers.RepeatedScalarFieldContainer[str]
    uri_prefix: str
    outdated: _containers.RepeatedCompositeFieldContainer[Origin]
    def __init__(self, collection: _Optional[str] = ..., uris: _Optional[_Iterable[str]] = ..., uri_prefix: _Optional[str] = ..., outdated: _Optional[_Iterable[_Union[Origin, _Mapping]]] = ...) -> None: ...

class DeleteResponse(_message.Message):
    __slots__ = ("deleted",)
    DELETED_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    def __init__(self, deleted: _Optional[int] = ...) -> None: ...

class GetStatsRequest(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    def __init__(self, collection: _Optional[str] = ...) -> None: ...

class GetStatsResponse(_message.Message):
    __slots__ = ("collections",)
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    collections: _containers.RepeatedCompositeFieldContainer[CollectionStats]
    def __init__(self, collections: _Optional[_Iterable[_Union[CollectionStats, _Mapping]]] = ...) -> None: ...

class CollectionStats(_message.Message):
    __slots__ = ("name", "space_id", "dimension", "points", "bytes_on_disk", "artifacts")
    class ArtifactsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    BYTES_ON_DISK_FIELD_NUMBER: _ClassVar[int]
    ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    space_id: str
    dimension: int
    points: int
    bytes_on_disk: int
    artifacts: _containers.ScalarMap[str, int]
    def __init__(self, name: _Optional[str] = ..., space_id: _Optional[str] = ..., dimension: _Optional[int] = ..., points: _Optional[int] = ..., bytes_on_disk: _Optional[int] = ..., artifacts: _Optional[_Mapping[str, int]] = ...) -> None: ...

class ExportRequest(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    def __init__(self, collection: _Optional[str] = ...) -> None: ...

class StoredRecord(_message.Message):
    __slots__ = ("uri", "payload", "artifact_id", "vector")
    URI_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_ID_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    uri: str
    payload: Payload
    artifact_id: str
    vector: bytes
    def __init__(self, uri: _Optional[str] = ..., payload: _Optional[_Union[Payload, _Mapping]] = ..., artifact_id: _Optional[str] = ..., vector: _Optional[bytes] = ...) -> None: ...

class ExportResponse(_message.Message):
    __slots__ = ("space_id", "dimension", "total", "records")
    SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    space_id: str
    dimension: int
    total: int
    records: _containers.RepeatedCompositeFieldContainer[StoredRecord]
    def __init__(self, space_id: _Optional[str] = ..., dimension: _Optional[int] = ..., total: _Optional[int] = ..., records: _Optional[_Iterable[_Union[StoredRecord, _Mapping]]] = ...) -> None: ...

class ImportRequest(_message.Message):
    __slots__ = ("collection", "space_id", "dimension", "records")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    collection: str
    space_id: str
    dimension: int
    records: _containers.RepeatedCompositeFieldContainer[StoredRecord]
    def __init__(self, collection: _Optional[str] = ..., space_id: _Optional[str] = ..., dimension: _Optional[int] = ..., records: _Optional[_Iterable[_Union[StoredRecord, _Mapping]]] = ...) -> None: ...

class CheckRecallRequest(_message.Message):
    __slots__ = ("collection", "queries", "k")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    collection: str
    queries: int
    k: int
    def __init__(self, collection: _Optional[str] = ..., queries: _Optional[int] = ..., k: _Optional[int] = ...) -> None: ...

class CheckRecallResponse(_message.Message):
    __slots__ = ("recall", "queries", "k", "points", "approximate_p50_ms", "exact_p50_ms", "search_width", "is_exact")
    RECALL_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    APPROXIMATE_P50_MS_FIELD_NUMBER: _ClassVar[int]
    EXACT_P50_MS_FIELD_NUMBER: _ClassVar[int]
    SEARCH_WIDTH_FIELD_NUMBER: _ClassVar[int]
    IS_EXACT_FIELD_NUMBER: _ClassVar[int]
    recall: float
    queries: int
    k: int
    points: int
    approximate_p50_ms: float
    exact_p50_ms: float
    search_width: int
    is_exact: bool
    def __init__(self, recall: _Optional[float] = ..., queries: _Optional[int] = ..., k: _Optional[int] = ..., points: _Optional[int] = ..., approximate_p50_ms: _Optional[float] = ..., exact_p50_ms: _Optional[float] = ..., search_width: _Optional[int] = ..., is_exact: bool = ...) -> None: ...

class ReadSnapshotRequest(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    def __init__(self, collection: _Optional[str] = ...) -> None: ...

class ReadSnapshotResponse(_message.Message):
    __slots__ = ("data", "total_bytes")
    DATA_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    total_bytes: int
    def __init__(self, data: _Optional[bytes] = ..., total_bytes: _Optional[int] = ...) -> None: ...

class RestoreSnapshotRequest(_message.Message):
    __slots__ = ("collection", "data")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    collection: str
    data: bytes
    def __init__(self, collection: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class CompactRequest(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    def __init__(self, collection: _Optional[str] = ...) -> None: ...

class CompactResponse(_message.Message):
    __slots__ = ("points", "before_bytes", "after_bytes")
    POINTS_FIELD_NUMBER: _ClassVar[int]
    BEFORE_BYTES_FIELD_NUMBER: _ClassVar[int]
    AFTER_BYTES_FIELD_NUMBER: _ClassVar[int]
    points: int
    before_bytes: int
    after_bytes: int
    def __init__(self, points: _Optional[int] = ..., before_bytes: _Optional[int] = ..., after_bytes: _Optional[int] = ...) -> None: ...

class StartMigrationRequest(_message.Message):
    __slots__ = ("collection", "model")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    collection: str
    model: str
    def __init__(self, collection: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class GetMigrationRequest(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    def __init__(self, collection: _Optional[str] = ...) -> None: ...

class CutOverRequest(_message.Message):
    __slots__ = ("collection", "force")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    collection: str
    force: bool
    def __init__(self, collection: _Optional[str] = ..., force: bool = ...) -> None: ...

class RevertMigrationRequest(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    def __init__(self, collection: _Optional[str] = ...) -> None: ...

class CancelMigrationRequest(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    def __init__(self, collection: _Optional[str] = ...) -> None: ...

class CancelMigrationResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Migration(_message.Message):
    __slots__ = ("collection", "state", "old_space_id", "new_space_id", "model", "done", "total", "failed", "overlap_at_10", "sampled_queries", "message")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OLD_SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    NEW_SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_AT_10_FIELD_NUMBER: _ClassVar[int]
    SAMPLED_QUERIES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    collection: str
    state: str
    old_space_id: str
    new_space_id: str
    model: str
    done: int
    total: int
    failed: int
    overlap_at_10: float
    sampled_queries: int
    message: str
    def __init__(self, collection: _Optional[str] = ..., state: _Optional[str] = ..., old_space_id: _Optional[str] = ..., new_space_id: _Optional[str] = ..., model: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., failed: _Optional[int] = ..., overlap_at_10: _Optional[float] = ..., sampled_queries: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...
