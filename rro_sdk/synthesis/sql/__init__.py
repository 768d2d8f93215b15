"""Questions with gold statements and expert trajectories over any database schema. Needs the extra `envs`."""

from rro_sdk.envs.intercode_sql.own_databases import sqlite_library
from rro_sdk.synthesis.sql.audit import Audit, audit
from rro_sdk.synthesis.sql.careless import careless
from rro_sdk.synthesis.sql.files import read_synthetic
from rro_sdk.synthesis.sql.generate import Synthesis, SynthesisSettings, SyntheticTask, synthesize

__all__ = [
    "Audit",
    "Synthesis",
    "SynthesisSettings",
    "SyntheticTask",
    "audit",
    "careless",
    "read_synthetic",
    "sqlite_library",
    "synthesize",
]
