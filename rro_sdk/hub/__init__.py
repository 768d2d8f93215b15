"""Datasets and models to a hub that speaks Hugging Face's protocol, card and all."""

from rro_sdk.hub.card import model_card
from rro_sdk.hub.push import Pushed, push_to_hub

__all__ = ["Pushed", "model_card", "push_to_hub"]
