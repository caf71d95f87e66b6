"""Reading and writing files: CSV, JSON Lines, Parquet, byte ranges, Arrow."""
