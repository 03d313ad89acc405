"""Collections as GeoParquet 1.1 files, one row a vector:

uri          string
window       struct<x, y, width, height>       pixels; null: the whole image
geometry     binary, WKB                       where it lies, WGS84; null where unknown
bbox         struct<xmin, ymin, xmax, ymax>    the covering of `geometry`
datetime     timestamp[us, UTC]
tags         list<string>
stamp        string
artifact_id  string                            what made the vector
space_id     string                            one a file
embedding    fixed_size_list<float>[dim]       of length 1

`geoparquet_writer` and `geoparquet_reader` do the work; pyarrow comes with the extra `geo`.
"""

from __future__ import annotations

from typing import Any

from rsq.errors import EnvironmentFault

METADATA_KEY = b"rsq"  # of the file; its value is JSON with where the vectors came from


def import_pyarrow() -> tuple[Any, Any]:
    """pyarrow and its module for Parquet. Raises EnvironmentFault where it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as e:
        raise EnvironmentFault(
            "Parquet files need pyarrow, which is not installed: pip install 'rsq-agent[geo]'"
        ) from e
    return pyarrow, pyarrow.parquet
