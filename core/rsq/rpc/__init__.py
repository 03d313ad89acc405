"""gRPC servers and channels as every rsq program opens them."""
