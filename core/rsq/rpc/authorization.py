"""How a token travels: as it does in HTTP, in a call's metadata or a request's headers."""

AUTHORIZATION = "authorization"
BEARER = "Bearer "
