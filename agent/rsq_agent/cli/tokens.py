"""`rsq-agent token`."""

from __future__ import annotations

from contextlib import nullcontext

from rsq.token_commands import make_token_app
from rsq_agent.cli.options import home_folder
from rsq_agent.token_file import TokenFile

token = make_token_app("rsq-agent", lambda: nullcontext(TokenFile(home_folder())))
