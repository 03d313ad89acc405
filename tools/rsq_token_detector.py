"""A plugin of detect-secrets: finds rsq's own tokens in files."""

from __future__ import annotations

import re

from detect_secrets.plugins.base import RegexBasedDetector


class RsqTokenDetector(RegexBasedDetector):
    # The name of what it finds.
    secret_type = "rsq token"  # noqa: S105  # pragma: allowlist secret
    denylist = (re.compile(r"rsq_[0-9a-f]{12}_[A-Za-z0-9_-]{43}"),)
