"""Questions with gold statements and expert trajectories over any database schema. Needs the extra `envs`."""

from rro_sdk.synthesis.sql.audit import Audit, audit
from rro_sdk.synthesis.sql.files import read_synthetic, write_folder
from rro_sdk.synthesis.sql.generate import Synthesis, SynthesisSettings, SyntheticTask, synthesize
from rro_sdk.synthesis.sql.sqlite import sqlite_library

__all__ = [
    "Audit",
    "Synthesis",
    "SynthesisSettings",
    "SyntheticTask",
    "audit",
    "read_synthetic",
    "sqlite_library",
    "synthesize",
    "write_folder",
]
