"""A run in the formats that trainers read: one small module a format, `export_run` for all of them."""

from rro_sdk.export.drift import Drift, DriftReport
from rro_sdk.export.exporting import ExportReport, export_run
from rro_sdk.export.formats import FORMATS
from rro_sdk.export.stepwise import StepwiseRow, to_stepwise
from rro_sdk.export.trl import to_row, write_pairs

__all__ = [
    "FORMATS",
    "Drift",
    "DriftReport",
    "ExportReport",
    "StepwiseRow",
    "export_run",
    "to_row",
    "to_stepwise",
    "write_pairs",
]
