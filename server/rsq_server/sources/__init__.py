"""Where a checkpoint comes from: a folder, the demo in this package, or a model hub.

source      resolve_source: the one entry, used as step 1 of publish
reference   `hf:ORG/NAME@REVISION` as typed
contents    which files of a checkpoint count, and their digest
transfer    runs a hub download in a process of its own
download    that process
huggingface, modelscope   the two adapters, the only users of the hubs' clients
faults      a full disk or an unreadable cache, met inside a client
"""
