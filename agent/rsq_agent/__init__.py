"""The rsq agent: pulls the artifact that fits an edge node and serves embedding and retrieval."""
