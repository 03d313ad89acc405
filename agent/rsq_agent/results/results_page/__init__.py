"""Search results as one page: `page` puts it together, `cards` shows the hits, `regions` and
`footprint_map` draw where they lie. Everything goes through ElementTree, which escapes it."""
