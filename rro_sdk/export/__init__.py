"""Preference pairs in the formats that trainers read: one small module a format."""

from rro_sdk.export.trl import to_row, write_pairs

__all__ = ["to_row", "write_pairs"]
