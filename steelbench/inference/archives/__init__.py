"""Archives of any size, local or behind a URL: their images are read, embedded and answered shard by shard."""
