"""Domain types to protobuf messages and back: `to_pb` and `from_pb` stand beside each other, and no
protobuf message travels further in than its servicer."""
