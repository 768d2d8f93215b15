"""SFT and DPO on TRL, each in its own process. Importing this package does not import torch."""

from trainers.events import Done, Event, LeftOut, Rows, Stage, Step, TrainResult
from trainers.process import train_dpo, train_sft
from trainers.settings import DPOSettings, SFTSettings, TrainSettings

__all__ = [
    "DPOSettings",
    "Done",
    "Event",
    "LeftOut",
    "Rows",
    "SFTSettings",
    "Stage",
    "Step",
    "TrainResult",
    "TrainSettings",
    "train_dpo",
    "train_sft",
]
