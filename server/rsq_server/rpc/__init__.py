"""The server's gRPC services: convert, call, convert."""
