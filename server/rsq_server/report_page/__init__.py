"""A version's report as one page: `page` puts it together, `chart` and its neighbours draw, the
others turn records into what the template shows."""
