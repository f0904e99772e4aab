"""The live page: what the rollups hold, as people look at it."""
